package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

const database, session = "grafana.db", "grafana_session"

// Draws nothing. It keeps what Grafana keeps: an admin whose password is the Secret's at the first start and the
// database's from then on, the dashboards that the sidecar brought or somebody imported, the data sources.
func grafana([]string) error {
	kept := &keeper{data: setting("GF_PATHS_DATA", "/var/lib/grafana"), dashboards: setting("DASHBOARDS", "/tmp/dashboards")}
	if err := kept.open(os.Getenv("GF_SECURITY_ADMIN_USER"), os.Getenv("GF_SECURITY_ADMIN_PASSWORD")); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/health", func(w http.ResponseWriter, _ *http.Request) {
		tellJSON(w, map[string]any{"database": "ok", "version": "0.0.0", "commit": "pic4ser-lab-stand-in"})
	})
	mux.HandleFunc("GET /metrics", kept.metrics)
	mux.HandleFunc("GET /login", kept.loginPage)
	mux.HandleFunc("POST /login", kept.login)
	mux.HandleFunc("GET /api/search", kept.known(kept.search))
	mux.HandleFunc("GET /api/dashboards/uid/{uid}", kept.known(kept.dashboard))
	mux.HandleFunc("POST /api/dashboards/db", kept.known(kept.save))
	mux.HandleFunc("POST /api/dashboards/import", kept.known(kept.save))
	mux.HandleFunc("GET /api/datasources", kept.known(kept.sources))
	mux.HandleFunc("GET /api/datasources/uid/{uid}", kept.known(kept.source))
	mux.HandleFunc("GET /api/org", kept.known(func(w http.ResponseWriter, _ *http.Request) {
		tellJSON(w, map[string]any{"id": 1, "name": "Main Org."})
	}))
	mux.HandleFunc("GET /api/user", kept.known(func(w http.ResponseWriter, _ *http.Request) { tellJSON(w, map[string]any{"login": kept.admin.User}) }))
	mux.HandleFunc("POST /api/admin/provisioning/", kept.known(func(w http.ResponseWriter, _ *http.Request) { tellJSON(w, map[string]any{"message": "reloaded"}) }))
	mux.HandleFunc("GET /", kept.known(kept.page))
	port := setting("GF_SERVER_HTTP_PORT", "3000")
	log.Printf("stand-in for Grafana on :%s, %d dashboards", port, len(kept.all()))
	return http.ListenAndServe(":"+port, mux)
}

type administrator struct{ User, Salt, Hash string }

type keeper struct {
	data, dashboards string
	admin            administrator
	token            string
	lock             sync.Mutex
}

func (k *keeper) open(user, password string) error {
	k.token = random()
	path := filepath.Join(k.data, database)
	if kept, err := os.ReadFile(path); err == nil {
		log.Print("the database is there: its password counts, not the environment's")
		return json.Unmarshal(kept, &k.admin)
	}
	if user == "" || password == "" {
		return fmt.Errorf("GF_SECURITY_ADMIN_USER and GF_SECURITY_ADMIN_PASSWORD are needed at the first start")
	}
	k.admin = administrator{User: user, Salt: random()}
	k.admin.Hash = hashed(k.admin.Salt, password)
	text, err := json.Marshal(k.admin)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func (k *keeper) right(user, password string) bool {
	given := hashed(k.admin.Salt, password)
	return user == k.admin.User && subtle.ConstantTimeCompare([]byte(given), []byte(k.admin.Hash)) == 1
}

// Only for who is logged in, by cookie or by basic authentication.
func (k *keeper) known(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(session)
		user, password, basic := r.BasicAuth()
		if (err == nil && subtle.ConstantTimeCompare([]byte(cookie.Value), []byte(k.token)) == 1) || (basic && k.right(user, password)) {
			next(w, r)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/api/") {
			refuse(w, http.StatusUnauthorized, map[string]any{"message": "Unauthorized"})
			return
		}
		http.Redirect(w, r, "/login", http.StatusFound)
	}
}

func (k *keeper) login(w http.ResponseWriter, r *http.Request) {
	given := map[string]string{}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		_ = json.NewDecoder(io.LimitReader(r.Body, 4096)).Decode(&given)
	} else {
		given["user"], given["password"] = r.FormValue("user"), r.FormValue("password")
	}
	if !k.right(given["user"], given["password"]) {
		refuse(w, http.StatusUnauthorized, map[string]any{"message": "Invalid username or password"})
		return
	}
	http.SetCookie(w, &http.Cookie{Name: session, Value: k.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/", http.StatusFound)
		return
	}
	tellJSON(w, map[string]any{"message": "Logged in", "redirectUrl": "/"})
}

func (k *keeper) loginPage(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, pageHead, `<form method="post"><label>User <input name="user"></label>
<label>Password <input name="password" type="password"></label> <button>Log in</button></form>`)
}

const pageHead = `<!doctype html><meta charset="utf-8"><title>Grafana (stand-in)</title>
<h1>Grafana (the rehearsal lab's stand-in)</h1><p>It draws nothing: a real site has Grafana here.</p>`

func (k *keeper) page(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, pageHead, "<h2>Dashboards</h2><ul>")
	for _, one := range k.all() {
		fmt.Fprintf(w, "<li>%s: %d panels</li>", html.EscapeString(one.title()), len(one.panels()))
	}
	fmt.Fprint(w, "</ul>")
}

type dashboard map[string]any

func (d dashboard) title() string { return fmt.Sprint(d["title"]) }
func (d dashboard) uid() string   { return fmt.Sprint(d["uid"]) }
func (d dashboard) panels() []any {
	panels, _ := d["panels"].([]any)
	return panels
}

// Provisioned ones, and those that somebody saved.
func (k *keeper) all() []dashboard {
	var found []dashboard
	for _, folder := range []string{k.dashboards, filepath.Join(k.data, "dashboards")} {
		paths, _ := filepath.Glob(filepath.Join(folder, "*.json"))
		for _, path := range paths {
			one, text := dashboard{}, []byte{}
			text, _ = os.ReadFile(path)
			if json.Unmarshal(text, &one) == nil && one["title"] != nil {
				if one["uid"] == nil {
					one["uid"] = hashed("", one.title())[:9]
				}
				found = append(found, one)
			}
		}
	}
	slices.SortFunc(found, func(a, b dashboard) int { return strings.Compare(a.title(), b.title()) })
	return found
}

func (k *keeper) search(w http.ResponseWriter, r *http.Request) {
	listed := []map[string]any{}
	for number, one := range k.all() {
		if !strings.Contains(strings.ToLower(one.title()), strings.ToLower(r.URL.Query().Get("query"))) {
			continue
		}
		listed = append(listed, map[string]any{
			"id": number + 1, "uid": one.uid(), "title": one.title(), "type": "dash-db", "tags": one["tags"], "url": "/d/" + one.uid(),
		})
	}
	tellJSON(w, listed)
}

func (k *keeper) dashboard(w http.ResponseWriter, r *http.Request) {
	for _, one := range k.all() {
		if one.uid() == r.PathValue("uid") {
			tellJSON(w, map[string]any{"dashboard": one, "meta": map[string]any{"url": "/d/" + one.uid()}})
			return
		}
	}
	refuse(w, http.StatusNotFound, map[string]any{"message": "Dashboard not found"})
}

func (k *keeper) save(w http.ResponseWriter, r *http.Request) {
	asked := struct{ Dashboard dashboard }{}
	if err := json.NewDecoder(io.LimitReader(r.Body, 4<<20)).Decode(&asked); err != nil || asked.Dashboard["title"] == nil {
		refuse(w, http.StatusBadRequest, map[string]any{"message": "bad request data"})
		return
	}
	if uid, _ := asked.Dashboard["uid"].(string); uid == "" {
		asked.Dashboard["uid"] = hashed("", asked.Dashboard.title())[:9]
	}
	k.lock.Lock()
	defer k.lock.Unlock()
	text, _ := json.Marshal(asked.Dashboard)
	folder := filepath.Join(k.data, "dashboards")
	err := os.MkdirAll(folder, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, hashed("", asked.Dashboard.uid())[:16]+".json"), text, 0o644)
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, map[string]any{"message": err.Error()})
		return
	}
	uid := asked.Dashboard.uid()
	tellJSON(w, map[string]any{"status": "success", "imported": true, "uid": uid, "title": asked.Dashboard.title(), "url": "/d/" + uid, "importedUrl": "/d/" + uid})
}

func (k *keeper) sources(w http.ResponseWriter, _ *http.Request) { tellJSON(w, provisionedSources()) }

func (k *keeper) source(w http.ResponseWriter, r *http.Request) {
	for _, one := range provisionedSources() {
		if one["uid"] == r.PathValue("uid") {
			tellJSON(w, one)
			return
		}
	}
	refuse(w, http.StatusNotFound, map[string]any{"message": "Data source not found"})
}

func provisionedSources() []map[string]any {
	listed := []map[string]any{}
	paths, _ := filepath.Glob(filepath.Join(setting("GF_PATHS_PROVISIONING", "/etc/grafana/provisioning"), "datasources", "*.yaml"))
	for _, path := range paths {
		told := struct {
			Datasources []map[string]any `json:"datasources"`
		}{}
		if text, err := os.ReadFile(path); err == nil && yaml.Unmarshal(text, &told) == nil {
			listed = append(listed, told.Datasources...)
		}
	}
	return listed
}

func (k *keeper) metrics(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "# TYPE grafana_stat_total_dashboards gauge\ngrafana_stat_total_dashboards %d\n", len(k.all()))
}

func refuse(w http.ResponseWriter, status int, why map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	tellJSON(w, why)
}

func tellJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func hashed(salt, text string) string {
	sum := sha256.Sum256([]byte(salt + text))
	return hex.EncodeToString(sum[:])
}

func random() string {
	value := make([]byte, 16)
	_, _ = rand.Read(value)
	return hex.EncodeToString(value)
}

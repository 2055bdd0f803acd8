package main

import (
	"log"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const sidecarEvery = 3 * time.Second

// Writes every key of the labelled ConfigMaps and Secrets into FOLDER, takes away what is gone, and tells REQ_URL.
func sidecar([]string) error {
	api, err := inCluster()
	if err != nil {
		return err
	}
	folder := os.Getenv("FOLDER")
	selector := os.Getenv("LABEL")
	if value := os.Getenv("LABEL_VALUE"); value != "" {
		selector += "=" + value
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	go answerHealth()
	written := map[string]string{}
	for once := os.Getenv("METHOD") == "LIST"; ; time.Sleep(sidecarEvery) {
		wanted, err := labelled(api, selector)
		if err != nil {
			log.Print(err)
			continue
		}
		if !maps.Equal(written, wanted) {
			if err := replaceFiles(folder, written, wanted); err != nil {
				return err
			}
			log.Printf("%s: %d files", folder, len(wanted))
			written = wanted
			if address := os.Getenv("REQ_URL"); address != "" && !once {
				reload(address)
			}
		}
		if once {
			return nil
		}
	}
}

// File name to content, of all namespaces that are asked for.
func labelled(api *cluster, selector string) (map[string]string, error) {
	kind, wanted := setting("RESOURCE", "configmap"), map[string]string{}
	query := "?labelSelector=" + url.QueryEscape(selector)
	for _, place := range places() {
		if kind != "secret" {
			var found struct {
				Items []struct{ Data map[string]string }
			}
			if err := api.get(place+"/configmaps"+query, &found); err != nil {
				return nil, err
			}
			for _, one := range found.Items {
				maps.Copy(wanted, one.Data)
			}
		}
		if kind != "configmap" {
			var found struct {
				Items []struct{ Data map[string][]byte }
			}
			if err := api.get(place+"/secrets"+query, &found); err != nil {
				return nil, err
			}
			for _, one := range found.Items {
				for name, content := range one.Data {
					wanted[name] = string(content)
				}
			}
		}
	}
	return wanted, nil
}

// Where the API has the objects of every namespace that is asked for; without a word the pod's own.
func places() []string {
	asked := os.Getenv("NAMESPACE")
	if asked == "ALL" {
		return []string{"/api/v1"}
	}
	if asked == "" {
		own, _ := os.ReadFile(account + "namespace")
		asked = string(own)
	}
	var found []string
	for _, namespace := range strings.Split(asked, ",") {
		found = append(found, named("api", "v1", "namespaces", namespace))
	}
	return found
}

func replaceFiles(folder string, before, wanted map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if before[name] == wanted[name] {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(name)), []byte(wanted[name]), 0o644); err != nil {
			return err
		}
	}
	for name := range before {
		if _, still := wanted[name]; !still {
			_ = os.Remove(filepath.Join(folder, filepath.Base(name)))
		}
	}
	return nil
}

func reload(address string) {
	request, err := http.NewRequest(setting("REQ_METHOD", "POST"), address, nil)
	if err != nil {
		return
	}
	request.SetBasicAuth(os.Getenv("REQ_USERNAME"), os.Getenv("REQ_PASSWORD"))
	client := http.Client{Timeout: 5 * time.Second}
	if answer, err := client.Do(request); err == nil {
		answer.Body.Close()
	}
}

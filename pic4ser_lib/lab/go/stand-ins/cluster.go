package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

// The API server as a pod sees it. A client library would be four times as large as everything else here.
type cluster struct {
	base   string
	client *http.Client
}

type object = map[string]any

var errNotFound = errors.New("not found")

func inCluster() (*cluster, error) {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, fmt.Errorf("not in a cluster: %w", err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, IdleConnTimeout: time.Minute}
	address := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	return &cluster{"https://" + address, &http.Client{Transport: transport, Timeout: 20 * time.Second}}, nil
}

func (c *cluster) get(path string, into any) error { return c.ask(http.MethodGet, path, nil, into) }

func (c *cluster) create(path string, what any) error { return c.ask(http.MethodPost, path, what, nil) }

func (c *cluster) replace(path string, what any) error { return c.ask(http.MethodPut, path, what, nil) }

func (c *cluster) merge(path string, what any) error { return c.ask(http.MethodPatch, path, what, nil) }

func (c *cluster) ask(method, path string, what, into any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	token, err := os.ReadFile(account + "token") // renewed now and then
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	request.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
	switch {
	case err != nil:
		return err
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s %w", path, errNotFound)
	case answer.StatusCode >= 300:
		return fmt.Errorf("%s %s: %s %s", method, path, answer.Status, strings.TrimSpace(string(said)))
	case into == nil:
		return nil
	}
	return json.Unmarshal(said, into)
}

func named(parts ...string) string {
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return "/" + strings.Join(parts, "/")
}

package main

import (
	"context"
	"log"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const sidecarEvery = 3 * time.Second

// Writes every key of the labelled ConfigMaps and Secrets into FOLDER, takes away what is gone, and tells REQ_URL.
func sidecar([]string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, folder := kubernetes.NewForConfigOrDie(config), os.Getenv("FOLDER")
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
		wanted, err := labelled(client, selector)
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
			if url := os.Getenv("REQ_URL"); url != "" && !once {
				reload(url)
			}
		}
		if once {
			return nil
		}
	}
}

// File name to content, of all namespaces that are asked for.
func labelled(client kubernetes.Interface, selector string) (map[string]string, error) {
	kind, ctx, options := setting("RESOURCE", "configmap"), context.Background(), meta.ListOptions{LabelSelector: selector}
	wanted := map[string]string{}
	for _, namespace := range namespaces() {
		if kind != "secret" {
			found, err := client.CoreV1().ConfigMaps(namespace).List(ctx, options)
			if err != nil {
				return nil, err
			}
			for _, one := range found.Items {
				maps.Copy(wanted, one.Data)
			}
		}
		if kind != "configmap" {
			found, err := client.CoreV1().Secrets(namespace).List(ctx, options)
			if err != nil {
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

func namespaces() []string {
	switch asked := os.Getenv("NAMESPACE"); asked {
	case "ALL":
		return []string{meta.NamespaceAll}
	case "":
		own, _ := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
		return []string{string(own)}
	default:
		return strings.Split(asked, ",")
	}
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

func reload(url string) {
	request, err := http.NewRequest(setting("REQ_METHOD", "POST"), url, nil)
	if err != nil {
		return
	}
	request.SetBasicAuth(os.Getenv("REQ_USERNAME"), os.Getenv("REQ_PASSWORD"))
	client := http.Client{Timeout: 5 * time.Second}
	if answer, err := client.Do(request); err == nil {
		answer.Body.Close()
	}
}

// The rehearsal lab's stand-ins for programs that need hardware or are in no registry: one program with many names.
// Each does the least that lets the chart or manifest that starts it become ready, and tells no lies about GPUs: what
// cannot be opened is not there. Nothing here is NVIDIA's, Grafana's or the Kubernetes projects' code.
package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

var programs = map[string]func(arguments []string) error{
	"nvidia-device-plugin":  devicePlugin,
	"gpu-feature-discovery": gpuFeatures,
	"mps-control-daemon":    wait,
	"nfd-worker":            nodeFeatures,
	"nfd-master":            nodeLabels,
	"nfd-gc":                wait,
	"dcgm-exporter":         gpuMetrics,
	"vectorAdd":             vectorAdd,
	"kube-webhook-certgen":  webhookCertificate,
	"grafana":               grafana,
	"k8s-sidecar":           sidecar,
	"wait":                  wait,
}

func main() {
	log.SetFlags(log.LstdFlags | log.Lmsgprefix)
	name := filepath.Base(os.Args[0])
	program, known := programs[name]
	if !known {
		fmt.Fprintf(os.Stderr, "no stand-in is called %q\n", name)
		os.Exit(2)
	}
	if err := program(os.Args[1:]); err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

// Upstream's program would do something here that nothing in the lab needs.
func wait([]string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	return nil
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

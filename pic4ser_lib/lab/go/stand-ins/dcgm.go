package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	resources "k8s.io/kubelet/pkg/apis/podresources/v1"
)

const kubeletSocket = "unix:///var/lib/kubelet/pod-resources/kubelet.sock"

type counter struct{ field, kind, help string }

type holder struct{ pod, namespace, container string }

// Serves samples of simulated GPUs in dcgm-exporter's names and labels. A new sample is taken every
// DCGM_EXPORTER_INTERVAL milliseconds (or -c); between two of them every scrape sees the same one.
func gpuMetrics(arguments []string) error {
	flags := flag.NewFlagSet("dcgm-exporter", flag.ContinueOnError)
	list := flags.String("f", "/etc/dcgm-exporter/default-counters.csv", "file of counters")
	interval := flags.Int("c", number("DCGM_EXPORTER_INTERVAL", 30000), "milliseconds between two samples")
	listen := flags.String("a", setting("DCGM_EXPORTER_LISTEN", ":9400"), "address")
	flags.Bool("k", true, "name pods")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	counters, err := readCounters(*list)
	if err != nil {
		return err
	}
	found, err := visible()
	if err != nil || len(found) == 0 {
		return errors.Join(fmt.Errorf("DCGM cannot start: ERROR_LIBRARY_NOT_FOUND"), err)
	}
	exporter := &exporter{counters: counters, gpus: found, node: setting("NODE_NAME", hostname())}
	exporter.sample(0)
	go exporter.sampleEvery(time.Duration(*interval) * time.Millisecond)
	http.HandleFunc("/metrics", exporter.serve)
	http.HandleFunc("/health", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprint(answer, "OK") })
	log.Printf("%d GPUs, %d counters, a sample every %d ms, on %s", len(found), len(counters), *interval, *listen)
	return http.ListenAndServe(*listen, nil)
}

type exporter struct {
	counters []counter
	gpus     []gpu
	node     string
	states   map[string]*state
	lock     sync.Mutex
	text     string
}

func (e *exporter) sampleEvery(interval time.Duration) {
	for last := time.Now(); ; {
		time.Sleep(interval)
		now := time.Now()
		e.sample(now.Sub(last).Seconds())
		last = now
	}
}

func (e *exporter) sample(seconds float64) {
	held, err := holders()
	if err != nil {
		log.Printf("no pods from the kubelet: %v", err)
	}
	if e.states == nil {
		e.states = map[string]*state{}
	}
	var text strings.Builder
	values := map[string]map[string]float64{}
	for _, one := range e.gpus {
		if e.states[one.uuid] == nil {
			e.states[one.uuid] = newState(one)
		}
		_, busy := held[one.uuid]
		e.states[one.uuid].pass(seconds, busy)
		values[one.uuid] = e.states[one.uuid].values()
	}
	for _, c := range e.counters {
		head := fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", c.field, c.help, c.field, c.kind)
		for _, one := range e.gpus {
			value, measured := values[one.uuid][c.field]
			if !measured {
				continue // as upstream: what the GPU does not support is absent
			}
			text.WriteString(head)
			head = ""
			fmt.Fprintf(&text, "%s{%s} %s\n", c.field, e.labels(one, held, c.field), strconv.FormatFloat(value, 'f', -1, 64))
		}
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	e.text = text.String()
}

func (e *exporter) labels(one gpu, held map[string]holder, field string) string {
	pairs := []string{
		"gpu", strconv.Itoa(one.index), "UUID", one.uuid, "pci_bus_id", one.busID, "device", one.device(),
		"modelName", one.name, "Hostname", e.node,
	}
	if field == "DCGM_FI_DEV_XID_ERRORS" {
		pairs = append(pairs, "err_code", "0", "err_msg", "No Error")
	}
	if by, busy := held[one.uuid]; busy {
		pairs = append(pairs, "container", by.container, "namespace", by.namespace, "pod", by.pod)
	}
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, fmt.Sprintf("%s=%q", pairs[i], pairs[i+1]))
	}
	return strings.Join(parts, ",")
}

func (e *exporter) serve(answer http.ResponseWriter, _ *http.Request) {
	e.lock.Lock()
	defer e.lock.Unlock()
	answer.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprint(answer, e.text)
}

// Which container holds which GPU, as the kubelet knows it.
func holders() (map[string]holder, error) {
	connection, err := grpc.NewClient(kubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	patience, cancel := context.WithTimeout(context.Background(), 900*time.Millisecond)
	defer cancel()
	told, err := resources.NewPodResourcesListerClient(connection).List(patience, &resources.ListPodResourcesRequest{})
	if err != nil {
		return nil, err
	}
	held := map[string]holder{}
	for _, pod := range told.PodResources {
		for _, container := range pod.Containers {
			for _, devices := range container.Devices {
				for _, id := range devices.DeviceIds {
					held[id] = holder{pod.Name, pod.Namespace, container.Name}
				}
			}
		}
	}
	return held, nil
}

func readCounters(path string) ([]counter, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found []counter
	for _, line := range strings.Split(string(text), "\n") {
		parts := strings.SplitN(line, ",", 3)
		if strings.HasPrefix(strings.TrimSpace(line), "#") || len(parts) != 3 {
			continue
		}
		found = append(found, counter{strings.TrimSpace(parts[0]), strings.TrimSpace(parts[1]), strings.TrimSpace(parts[2])})
	}
	return found, nil
}

func number(name string, otherwise int) int {
	value, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		return otherwise
	}
	return value
}

func hostname() string {
	name, _ := os.Hostname()
	return name
}

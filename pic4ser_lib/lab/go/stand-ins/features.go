package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"reflect"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	pciLabel     = "feature.node.kubernetes.io/pci-10de.present"
	nodeNameKey  = "nfd.node.kubernetes.io/node-name"
	ownedBy      = "nfd.node.kubernetes.io/feature-labels" // which labels of a node are ours to take off again
	hostsDriver  = "/host-usr/lib/pic4ser-gpu/gpus.csv"
	lookAgain    = 2 * time.Second
	featureEvery = 10 * time.Second
)

var featureResource = schema.GroupVersionResource{Group: "nfd.k8s-sigs.io", Version: "v1alpha1", Resource: "nodefeatures"}

// NFD's worker: says whether the machine has a PCI device of NVIDIA's. The lab's machines have none, so the driver's
// file speaks for it.
func nodeFeatures([]string) error {
	return tell(setting("KUBERNETES_NAMESPACE", "default"), os.Getenv("NODE_NAME"), featureEvery, func() (map[string]string, error) {
		if found, err := listed(hostsDriver); err != nil || len(found) == 0 {
			return map[string]string{}, nil
		}
		return map[string]string{pciLabel: "true"}, nil
	})
}

// GPU feature discovery: what the node's GPUs are.
func gpuFeatures([]string) error {
	every, err := time.ParseDuration(setting("GFD_SLEEP_INTERVAL", "60s"))
	if err != nil {
		return err
	}
	return tell(setting("NAMESPACE", "default"), "nvidia-features-for-"+os.Getenv("NODE_NAME"), every, func() (map[string]string, error) {
		found, err := visible()
		if err != nil || len(found) == 0 {
			return map[string]string{}, err
		}
		return gpuLabels(found), nil
	})
}

func gpuLabels(found []gpu) map[string]string {
	first := found[0]
	driver := append(strings.Split(first.driver, "."), "0", "0")
	labels := map[string]string{
		"gpu.present": "true", "gpu.count": fmt.Sprint(len(found)), "gpu.product": label(first.name),
		"gpu.memory": fmt.Sprint(first.memoryMiB), "gpu.family": "ampere", "gpu.machine": "pic4ser-lab", "gpu.mode": "compute",
		"gpu.replicas": "1", "gpu.compute.major": "8", "gpu.compute.minor": "0", "gpu.sharing-strategy": "none",
		"cuda.driver-version.full": first.driver, "cuda.driver-version.major": driver[0], "cuda.driver-version.minor": driver[1],
		"cuda.driver-version.revision": driver[2], "cuda.runtime-version.full": "13.0", "cuda.runtime-version.major": "13",
		"cuda.runtime-version.minor": "0", "mig.capable": "false", "mig.strategy": "none", "mps.capable": "false", "vgpu.present": "false",
		"gfd.timestamp": fmt.Sprint(time.Now().Unix()),
	}
	named := map[string]string{}
	for name, value := range labels {
		if name == "gpu.present" || (name == "gfd.timestamp" && setting("GFD_NO_TIMESTAMP", "false") == "true") {
			continue // nobody in upstream's chart sets gpu.present either
		}
		named["nvidia.com/"+name] = value
	}
	return named
}

// Keeps a NodeFeature object of this node as `labels` says it.
func tell(namespace, name string, every time.Duration, labels func() (map[string]string, error)) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	features := dynamic.NewForConfigOrDie(config).Resource(featureResource).Namespace(namespace)
	var told map[string]string
	for {
		now, err := labels()
		if err != nil {
			return err
		}
		if !sameLabels(told, now) {
			if err := write(features, name, now); err != nil {
				log.Printf("%s is not written yet: %v", name, err)
				time.Sleep(lookAgain)
				continue
			}
			log.Printf("%s: %d labels", name, len(now))
			told = now
		}
		time.Sleep(every)
	}
}

func write(features dynamic.ResourceInterface, name string, labels map[string]string) error {
	wanted := map[string]any{}
	for key, value := range labels {
		wanted[key] = value
	}
	feature := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": featureResource.GroupVersion().String(), "kind": "NodeFeature",
		"metadata": map[string]any{"name": name, "labels": map[string]any{nodeNameKey: os.Getenv("NODE_NAME")}},
		"spec":     map[string]any{"labels": wanted, "features": map[string]any{}},
	}}
	ctx := context.Background()
	there, err := features.Get(ctx, name, meta.GetOptions{})
	if errors.IsNotFound(err) {
		_, err = features.Create(ctx, feature, meta.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	feature.SetResourceVersion(there.GetResourceVersion())
	_, err = features.Update(ctx, feature, meta.UpdateOptions{})
	return err
}

func sameLabels(a, b map[string]string) bool {
	const clock = "nvidia.com/gfd.timestamp"
	if a == nil || len(a) != len(b) {
		return false
	}
	for key, value := range b {
		if key != clock && a[key] != value {
			return false
		}
	}
	return true
}

// NFD's master: puts what all NodeFeatures say onto the nodes. With -prune: takes it off and ends.
func nodeLabels(arguments []string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, features := kubernetes.NewForConfigOrDie(config), dynamic.NewForConfigOrDie(config).Resource(featureResource)
	for _, argument := range arguments {
		if strings.TrimLeft(argument, "-") == "prune" {
			return labelNodes(client, map[string]map[string]string{})
		}
	}
	go answerHealth()
	for ; ; time.Sleep(lookAgain) {
		found, err := features.List(context.Background(), meta.ListOptions{})
		if err != nil {
			log.Printf("no NodeFeatures: %v", err)
			continue
		}
		if err := labelNodes(client, merged(found.Items)); err != nil {
			log.Print(err)
		}
	}
}

func merged(features []unstructured.Unstructured) map[string]map[string]string {
	wanted := map[string]map[string]string{}
	for _, feature := range features {
		node := feature.GetLabels()[nodeNameKey]
		if wanted[node] == nil {
			wanted[node] = map[string]string{}
		}
		labels, _, _ := unstructured.NestedStringMap(feature.Object, "spec", "labels")
		for key, value := range labels {
			wanted[node][key] = value
		}
	}
	return wanted
}

func labelNodes(client kubernetes.Interface, wanted map[string]map[string]string) error {
	nodes, err := client.CoreV1().Nodes().List(context.Background(), meta.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		labels, names := map[string]any{}, []string{}
		for _, old := range strings.FieldsFunc(node.Annotations[ownedBy], func(r rune) bool { return r == ',' }) {
			labels[old] = nil // null in a merge patch: away with it
		}
		for key, value := range wanted[node.Name] {
			labels[key] = value
			names = append(names, key)
		}
		if alreadySo(node.Labels, labels) {
			continue
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"labels": labels, "annotations": map[string]any{ownedBy: strings.Join(names, ",")},
		}})
		if err != nil {
			return err
		}
		if _, err := client.CoreV1().Nodes().Patch(context.Background(), node.Name, types.MergePatchType, patch, meta.PatchOptions{}); err != nil {
			return fmt.Errorf("node %s: %w", node.Name, err)
		}
		log.Printf("node %s: %d labels", node.Name, len(names))
	}
	return nil
}

func alreadySo(seen map[string]string, wanted map[string]any) bool {
	for key, value := range wanted {
		now, there := seen[key]
		if value == nil && there || value != nil && !reflect.DeepEqual(now, value) {
			return false
		}
	}
	return true
}

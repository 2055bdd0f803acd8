package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	pciLabel     = "feature.node.kubernetes.io/pci-10de.present"
	nodeNameKey  = "nfd.node.kubernetes.io/node-name"
	ownedBy      = "nfd.node.kubernetes.io/feature-labels" // which labels of a node are ours to take off again
	hostsDriver  = "/host-usr/lib/pic4ser-gpu/gpus.csv"
	lookAgain    = 2 * time.Second
	featureEvery = 10 * time.Second
	featureGroup = "apis/nfd.k8s-sigs.io/v1alpha1"
)

type nodeFeature struct {
	Metadata struct {
		Labels          map[string]string
		ResourceVersion string
	}
	Spec struct{ Labels map[string]string }
}

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
	full := map[string]string{}
	for name, value := range labels {
		if name == "gpu.present" || (name == "gfd.timestamp" && setting("GFD_NO_TIMESTAMP", "false") == "true") {
			continue // nobody in upstream's chart sets gpu.present either
		}
		full["nvidia.com/"+name] = value
	}
	return full
}

// Keeps a NodeFeature object of this node as `labels` says it.
func tell(namespace, name string, every time.Duration, labels func() (map[string]string, error)) error {
	api, err := inCluster()
	if err != nil {
		return err
	}
	var told map[string]string
	for {
		now, err := labels()
		if err != nil {
			return err
		}
		if !sameLabels(told, now) {
			if err := write(api, namespace, name, now); err != nil {
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

func write(api *cluster, namespace, name string, labels map[string]string) error {
	all := "/" + featureGroup + named("namespaces", namespace, "nodefeatures")
	metadata := object{"name": name, "labels": object{nodeNameKey: os.Getenv("NODE_NAME")}}
	feature := object{
		"apiVersion": strings.TrimPrefix(featureGroup, "apis/"), "kind": "NodeFeature", "metadata": metadata,
		"spec": object{"labels": labels, "features": object{}},
	}
	var there nodeFeature
	err := api.get(all+named(name), &there)
	if errors.Is(err, errNotFound) {
		return api.create(all, feature)
	}
	if err != nil {
		return err
	}
	metadata["resourceVersion"] = there.Metadata.ResourceVersion
	return api.replace(all+named(name), feature)
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
	api, err := inCluster()
	if err != nil {
		return err
	}
	for _, argument := range arguments {
		if strings.TrimLeft(argument, "-") == "prune" {
			return labelNodes(api, map[string]map[string]string{})
		}
	}
	go answerHealth()
	for ; ; time.Sleep(lookAgain) {
		var found struct{ Items []nodeFeature }
		err := api.get("/"+featureGroup+"/nodefeatures", &found)
		if err == nil {
			err = labelNodes(api, merged(found.Items))
		}
		if err != nil {
			log.Print(err)
		}
	}
}

func merged(features []nodeFeature) map[string]map[string]string {
	wanted := map[string]map[string]string{}
	for _, feature := range features {
		node := feature.Metadata.Labels[nodeNameKey]
		if wanted[node] == nil {
			wanted[node] = map[string]string{}
		}
		for key, value := range feature.Spec.Labels {
			wanted[node][key] = value
		}
	}
	return wanted
}

func labelNodes(api *cluster, wanted map[string]map[string]string) error {
	var nodes struct {
		Items []struct {
			Metadata struct {
				Name                string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := api.get("/api/v1/nodes", &nodes); err != nil {
		return err
	}
	for _, item := range nodes.Items {
		node := item.Metadata
		labels, names := object{}, []string{}
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
		slices.Sort(names)
		patch := object{"metadata": object{"labels": labels, "annotations": object{ownedBy: strings.Join(names, ",")}}}
		if err := api.merge("/api/v1/nodes"+named(node.Name), patch); err != nil {
			return err
		}
		log.Printf("node %s: %d labels", node.Name, len(names))
	}
	return nil
}

func alreadySo(seen map[string]string, wanted object) bool {
	for key, value := range wanted {
		now, there := seen[key]
		if (value == nil && there) || (value != nil && now != value) {
			return false
		}
	}
	return true
}

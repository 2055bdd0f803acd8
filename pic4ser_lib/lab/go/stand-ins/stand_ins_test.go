package main

import (
	"crypto/x509"
	"encoding/pem"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var one = gpu{index: 0, memoryMiB: 8192, uuid: "GPU-a", busID: "00000000:01:00.0", name: "NVIDIA Simulated GPU", driver: "580.00"}

func TestAnIdleGPUStaysColdAndAHeldOneWorks(t *testing.T) {
	idle, held := newState(one), newState(one)
	for range 120 {
		idle.pass(1, false)
		held.pass(1, true)
	}
	if seen := idle.values(); seen["DCGM_FI_DEV_GPU_UTIL"] != 0 || seen["DCGM_FI_DEV_GPU_TEMP"] != idleTemperature {
		t.Errorf("idle: %v", seen)
	}
	seen := held.values()
	if seen["DCGM_FI_DEV_GPU_UTIL"] < 80 || seen["DCGM_FI_DEV_GPU_TEMP"] < 60 || seen["DCGM_FI_DEV_SM_CLOCK"] != busyClock {
		t.Errorf("held: %v", seen)
	}
	if seen["DCGM_FI_DEV_FB_USED"]+seen["DCGM_FI_DEV_FB_FREE"] != 8192 {
		t.Error("memory used and free are not the whole")
	}
}

func TestEnergyIsThePowerDrawn(t *testing.T) {
	idle := newState(one)
	for range 600 {
		idle.pass(0.1, false)
	}
	if seen, wanted := idle.values()["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"], idlePower*60*1000; math.Abs(seen-wanted) > 1 {
		t.Errorf("%v mJ in a minute at %v W", seen, idlePower)
	}
}

func TestCountersAreReadAsTheChartWritesThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters.csv")
	text := "# a comment, with, commas\n\nDCGM_FI_DEV_GPU_TEMP, gauge, Temperature, in C.\n  # DCGM_FI_DEV_X, gauge, off\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	seen, err := readCounters(path)
	if err != nil || len(seen) != 1 || seen[0] != (counter{"DCGM_FI_DEV_GPU_TEMP", "gauge", "Temperature, in C."}) {
		t.Errorf("%v %v", seen, err)
	}
}

func TestOnlyAHeldGPUNamesItsPod(t *testing.T) {
	exporter := &exporter{node: "bonnie"}
	if free := exporter.labels(one, nil, "DCGM_FI_DEV_GPU_TEMP"); strings.Contains(free, "pod=") {
		t.Error(free)
	}
	held := map[string]holder{"GPU-a": {"train-0", "default", "tensorflow"}}
	if seen := exporter.labels(one, held, "DCGM_FI_DEV_GPU_TEMP"); !strings.HasSuffix(seen, `container="tensorflow",namespace="default",pod="train-0"`) {
		t.Error(seen)
	}
}

func TestLabelsAreOnesThatKubernetesTakes(t *testing.T) {
	valid := regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$`)
	for name, value := range gpuLabels([]gpu{one}) {
		if !valid.MatchString(value) || len(value) > 63 {
			t.Errorf("%s=%s", name, value)
		}
	}
}

func TestALabelThatIsGoneIsTakenOff(t *testing.T) {
	if alreadySo(map[string]string{"a": "1"}, object{"a": nil}) || !alreadySo(map[string]string{"a": "1", "b": "2"}, object{"a": "1", "c": nil}) {
		t.Error("labels to take off are not told from labels to keep")
	}
}

func TestTheCertificateIsTheServices(t *testing.T) {
	made, err := certificate([]string{"operator", "operator.prometheus.svc"})
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(made.authority)
	packed, _ := pem.Decode(made.certificate)
	host, err := x509.ParseCertificate(packed.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.Verify(x509.VerifyOptions{DNSName: "operator.prometheus.svc", Roots: trusted}); err != nil {
		t.Error(err)
	}
}

func TestTheDatabasesPasswordWinsOverANewSecret(t *testing.T) {
	folder := t.TempDir()
	for _, password := range []string{"first", "second"} {
		kept := &keeper{data: folder}
		if err := kept.open("admin", password); err != nil {
			t.Fatal(err)
		}
		if !kept.right("admin", "first") || kept.right("admin", "second") {
			t.Errorf("started with %q", password)
		}
	}
}

package main

import "math"

// One simulated GPU: idle it is cool and slow; held by a pod it works, warms up and draws power.
type state struct {
	memoryMiB                           float64
	age, used, util, temperature, power float64
	energyMilliJoule                    float64
	phase                               float64
}

const (
	idleTemperature, busyTemperature = 31.0, 71.0    // °C
	idlePower, busyPower             = 28.0, 248.0   // W
	idleClock, busyClock             = 210.0, 1410.0 // MHz
	warmingSeconds, spinUpSeconds    = 25.0, 2.0
	idleMemory, busyShare            = 4.0, 0.72 // MiB; part of the memory
)

func newState(one gpu) *state {
	return &state{
		memoryMiB: float64(one.memoryMiB), temperature: idleTemperature, power: idlePower, used: idleMemory,
		phase: float64(one.index) * 1.7, // two GPUs of one node do not move in step
	}
}

func (s *state) pass(seconds float64, busy bool) {
	s.age += seconds
	util, used := 0.0, idleMemory
	if busy {
		util, used = 91+6*math.Sin(s.age/7+s.phase), s.memoryMiB*busyShare
	}
	quick := 1 - math.Exp(-seconds/spinUpSeconds)
	s.util += (util - s.util) * quick
	s.used += (used - s.used) * quick
	before := s.power
	s.power = idlePower + (busyPower-idlePower)*s.util/100
	warm := idleTemperature + (busyTemperature-idleTemperature)*s.util/100
	s.temperature += (warm - s.temperature) * (1 - math.Exp(-seconds/warmingSeconds))
	s.energyMilliJoule += 1000 * seconds * (before + s.power) / 2
}

func (s *state) values() map[string]float64 {
	share := math.Round(s.util) / 100
	clock := idleClock
	if s.util > 1 {
		clock = busyClock
	}
	return map[string]float64{
		"DCGM_FI_DEV_SM_CLOCK":                    clock,
		"DCGM_FI_DEV_MEM_CLOCK":                   1215,
		"DCGM_FI_DEV_MEMORY_TEMP":                 math.Round(s.temperature + 4),
		"DCGM_FI_DEV_GPU_TEMP":                    math.Round(s.temperature),
		"DCGM_FI_DEV_POWER_USAGE":                 math.Round(s.power*1000) / 1000,
		"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION":    math.Round(s.energyMilliJoule),
		"DCGM_FI_DEV_PCIE_REPLAY_COUNTER":         0,
		"DCGM_FI_DEV_GPU_UTIL":                    math.Round(s.util),
		"DCGM_FI_DEV_MEM_COPY_UTIL":               math.Round(s.util * 0.6),
		"DCGM_FI_DEV_ENC_UTIL":                    0,
		"DCGM_FI_DEV_DEC_UTIL":                    0,
		"DCGM_FI_DEV_XID_ERRORS":                  0,
		"DCGM_FI_DEV_FB_FREE":                     s.memoryMiB - math.Round(s.used),
		"DCGM_FI_DEV_FB_USED":                     math.Round(s.used),
		"DCGM_FI_DEV_VGPU_LICENSE_STATUS":         0,
		"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": 0,
		"DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS":   0,
		"DCGM_FI_DEV_ROW_REMAP_FAILURE":           0,
		"DCGM_FI_PROF_GR_ENGINE_ACTIVE":           share,
		"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE":         math.Round(share*400) / 1000,
		"DCGM_FI_PROF_DRAM_ACTIVE":                math.Round(share*550) / 1000,
		"DCGM_FI_PROF_PCIE_TX_BYTES":              math.Round(share * 2e8),
		"DCGM_FI_PROF_PCIE_RX_BYTES":              math.Round(share * 9e8),
	}
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const elements = 50000

// Adds two vectors, on the CPU: but only if every GPU of this container can be opened for reading and writing, which
// is what the device cgroup decides.
func vectorAdd([]string) error {
	fmt.Printf("[Vector addition of %d elements]\n", elements)
	if err := openGPUs(); err != nil {
		return fmt.Errorf("Failed to allocate device vector A (error code no CUDA-capable device is detected)! %w", err)
	}
	fmt.Println("Copy input data from the host memory to the CUDA device")
	a, b, sum := make([]float32, elements), make([]float32, elements), make([]float32, elements)
	for i := range a {
		a[i], b[i] = float32(i)/3, float32(elements-i)/7
	}
	fmt.Printf("CUDA kernel launch with %d blocks of 256 threads\n", (elements+255)/256)
	for i := range sum {
		sum[i] = a[i] + b[i]
	}
	fmt.Println("Copy output data from the CUDA device to the host memory")
	for i := range sum {
		if difference := a[i] + b[i] - sum[i]; difference > 1e-5 || difference < -1e-5 {
			return fmt.Errorf("Result verification failed at element %d!", i)
		}
	}
	fmt.Println("Test PASSED")
	fmt.Println("Done")
	return nil
}

func openGPUs() error {
	nodes, err := filepath.Glob("/dev/nvidia[0-9]*")
	if err != nil {
		return err
	}
	if len(nodes) == 0 {
		return fmt.Errorf("there is no /dev/nvidia0 or other GPU in this container")
	}
	for _, node := range nodes {
		file, err := os.OpenFile(node, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		file.Close()
	}
	return nil
}

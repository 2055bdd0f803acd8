package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// The file with which the lab's "driver" tells what the node has. The container runtime mounts it together with the
// device nodes: whoever has it in a container was given GPUs by that runtime, as with the real driver's libraries.
const driverFile = "/usr/lib/pic4ser-gpu/gpus.csv"

var errNoDriver = errors.New("no driver library in this container")

type gpu struct {
	index, memoryMiB          int
	uuid, busID, name, driver string
}

func (g gpu) node() string   { return fmt.Sprintf("/dev/nvidia%d", g.index) }
func (g gpu) device() string { return fmt.Sprintf("nvidia%d", g.index) }

// The GPUs whose device nodes are in this container. errNoDriver: the runtime gave it nothing at all.
func visible() ([]gpu, error) {
	all, err := listed(driverFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoDriver
	}
	var seen []gpu
	for _, one := range all {
		if _, err := os.Stat(one.node()); err == nil {
			seen = append(seen, one)
		}
	}
	return seen, err
}

// Lines of: index, UUID, bus id, name, memory in MiB, driver version.
func listed(path string) ([]gpu, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader := csv.NewReader(file)
	reader.FieldsPerRecord, reader.TrimLeadingSpace = 6, true
	lines, err := reader.ReadAll()
	if err != nil {
		return nil, err
	}
	var found []gpu
	for _, line := range lines {
		index, wrongIndex := strconv.Atoi(line[0])
		memory, wrongMemory := strconv.Atoi(line[4])
		if err := errors.Join(wrongIndex, wrongMemory); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found = append(found, gpu{index, memory, line[1], line[2], line[3], line[5]})
	}
	return found, nil
}

func label(value string) string { return strings.ReplaceAll(value, " ", "-") }

package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const resource, pluginSocket = "nvidia.com/gpu", "nvidia-gpu.sock"

// Registers the node's GPUs with the kubelet, again whenever the kubelet starts anew.
func devicePlugin([]string) error {
	found, err := visible()
	if err != nil {
		log.Print("Incompatible strategy detected auto")
		log.Print("If this is a GPU node, did you configure the NVIDIA Container Toolkit?")
		log.Print("If this is not a GPU node, you should set up a toleration or nodeSelector to only deploy this plugin on GPU nodes")
		if setting("FAIL_ON_INIT_ERROR", "true") == "true" {
			return fmt.Errorf("error starting plugins: invalid device discovery strategy (%w)", err)
		}
		return wait(nil)
	}
	if len(found) == 0 {
		log.Print("No devices found. Waiting indefinitely.")
		return wait(nil)
	}
	for {
		if err := serveUntilKubeletRestarts(found); err != nil {
			return err
		}
	}
}

func serveUntilKubeletRestarts(found []gpu) error {
	socket := filepath.Join(api.DevicePluginPath, pluginSocket)
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	plugin := &plugin{gpus: found, gone: make(chan struct{})}
	api.RegisterDevicePluginServer(server, plugin)
	go server.Serve(listener)
	defer server.Stop()
	defer close(plugin.gone)
	before, err := os.Stat(api.KubeletSocket)
	if err != nil {
		return err
	}
	if err := register(); err != nil {
		return err
	}
	log.Printf("Registered device plugin for '%s' with Kubelet: %d devices", resource, len(found))
	for {
		time.Sleep(time.Second)
		now, err := os.Stat(api.KubeletSocket)
		_, own := os.Stat(socket) // the kubelet empties the folder when it starts
		if err == nil && (own != nil || !os.SameFile(before, now)) {
			log.Print("the kubelet has started anew")
			return nil
		}
	}
}

func register() error {
	connection, err := grpc.NewClient("unix://"+api.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = api.NewRegistrationClient(connection).Register(patience, &api.RegisterRequest{
		Version: api.Version, Endpoint: pluginSocket, ResourceName: resource, Options: &api.DevicePluginOptions{},
	})
	return err
}

type plugin struct {
	api.UnimplementedDevicePluginServer
	gpus []gpu
	gone chan struct{}
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	var devices []*api.Device
	for _, one := range p.gpus {
		devices = append(devices, &api.Device{ID: one.uuid, Health: api.Healthy})
	}
	if err := stream.Send(&api.ListAndWatchResponse{Devices: devices}); err != nil {
		return err
	}
	select {
	case <-p.gone:
	case <-stream.Context().Done():
	}
	return nil
}

// As upstream: the container's environment names its GPUs, and the nvidia runtime brings them in; with
// PASS_DEVICE_SPECS the kubelet hands the device nodes over as well.
func (p *plugin) Allocate(_ context.Context, asked *api.AllocateRequest) (*api.AllocateResponse, error) {
	answer := &api.AllocateResponse{}
	for _, container := range asked.ContainerRequests {
		ids := container.DevicesIds
		given := &api.ContainerAllocateResponse{Envs: map[string]string{}}
		strategies := strings.Split(setting("DEVICE_LIST_STRATEGY", "envvar"), ",")
		for _, strategy := range strategies {
			switch strategy {
			case "envvar":
				given.Envs["NVIDIA_VISIBLE_DEVICES"] = strings.Join(ids, ",")
			case "cdi-cri":
				for _, id := range ids {
					given.CdiDevices = append(given.CdiDevices, &api.CDIDevice{Name: resource + "=" + id})
				}
			}
		}
		if setting("PASS_DEVICE_SPECS", "false") == "true" {
			given.Devices = p.nodesOf(ids)
		}
		answer.ContainerResponses = append(answer.ContainerResponses, given)
	}
	return answer, nil
}

func (p *plugin) nodesOf(ids []string) []*api.DeviceSpec {
	paths := []string{"/dev/nvidiactl"}
	for _, one := range p.gpus {
		for _, id := range ids {
			if id == one.uuid {
				paths = append(paths, one.node())
			}
		}
	}
	var specs []*api.DeviceSpec
	for _, path := range paths {
		specs = append(specs, &api.DeviceSpec{ContainerPath: path, HostPath: path, Permissions: "rw"})
	}
	return specs
}

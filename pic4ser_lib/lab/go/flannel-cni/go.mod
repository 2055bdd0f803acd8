module pic4ser/lab/flannel-cni

go 1.26.0

require github.com/containernetworking/plugins v0.9.1
require github.com/containernetworking/cni v1.3.0

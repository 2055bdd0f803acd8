#!/bin/sh
# Makes the devices of this node's simulated GPUs at each boot, as a driver does when it is loaded. They carry the number
# of a kernel device that is harmless to open and that containers may not open unless they are given it (fuse, else others).
set -eu
for minor in 229 235 237 234; do
    rm -f /dev/nvidiactl
    mknod -m 0666 /dev/nvidiactl c 10 "$minor"
    if (exec 3<>/dev/nvidiactl) 2>/dev/null; then break; fi
    rm -f /dev/nvidiactl
done
[ -c /dev/nvidiactl ] || { echo 'no device of this kernel can play a GPU' >&2; exit 1; }
while IFS=, read -r index _; do
    rm -f "/dev/nvidia$index"
    mknod -m 0666 "/dev/nvidia$index" c 10 "$minor"
done < /usr/lib/pic4ser-gpu/gpus.csv

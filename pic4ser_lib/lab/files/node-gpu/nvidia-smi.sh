#!/bin/sh
# The rehearsal lab's stand-in for NVIDIA's tool: tells what /usr/lib/pic4ser-gpu/gpus.csv says of the GPUs whose devices are here.
list=/usr/lib/pic4ser-gpu/gpus.csv
if [ ! -c /dev/nvidiactl ] || [ ! -r "$list" ]; then
    echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running."
    exit 9
fi

query='' format='' short='' chosen=''
while [ $# -gt 0 ]; do
    case $1 in
        -L | --list-gpus) short=1 ;;
        --query-gpu=*) query=${1#*=} ;;
        --format=*) format=,${1#*=}, ;;
        -i | --id) chosen=$2 && shift ;;
        --id=*) chosen=${1#*=} ;;
        *) echo "nvidia-smi (stand-in): the option $1 is not known here" >&2 && exit 6 ;;
    esac
    shift
done

unit() {
    case $format in *,nounits,*) ;; *) printf ' %s' "$1" ;; esac
}

value() {
    case $1 in
        index) printf %s "$index" ;;
        uuid | gpu_uuid) printf %s "$uuid" ;;
        name | gpu_name) printf %s "$name" ;;
        pci.bus_id | gpu_bus_id) printf %s "$bus" ;;
        driver_version) printf %s "$driver" ;;
        count) printf %s "$count" ;;
        memory.total) printf %s "$memory" && unit MiB ;;
        compute_cap) printf 8.0 ;;
        memory.used | memory.free | utilization.gpu | utilization.memory | temperature.gpu | power.draw | clocks.sm | persistence_mode | mig.mode.current | compute_mode)
            printf '[N/A]' ;;
        *) printf 'Field "%s" is not a valid field to query.\n' "$1" && return 2 ;;
    esac
}

row() {
    line='' rest=$query,
    while [ -n "$rest" ]; do
        field=${rest%%,*} rest=${rest#*,}
        said=$(value "${field# }") || { echo "$said"; exit 2; }
        line="$line${line:+, }$said"
    done
    echo "$line"
}

count=0
while IFS=, read -r index _; do [ -c "/dev/nvidia$index" ] && count=$((count + 1)); done < "$list"
if [ "$count" = 0 ]; then
    echo "No devices were found"
    exit 6
fi
if [ -n "$query" ]; then
    case $format in *,csv,*) ;; *) echo '"--format=" must be specified with --query-gpu' >&2; exit 2 ;; esac
    case $format in *,noheader,*) ;; *) echo "$query" | sed 's/,/, /g; s/memory\.total/memory.total [MiB]/' ;; esac
fi
while IFS=, read -r index uuid bus name memory driver; do
    uuid=${uuid# } bus=${bus# } name=${name# } memory=${memory# } driver=${driver# }
    [ -c "/dev/nvidia$index" ] || continue
    [ -z "$chosen" ] || [ "$chosen" = "$index" ] || [ "$chosen" = "$uuid" ] || continue
    if [ -n "$query" ]; then
        row
    elif [ -n "$short" ]; then
        echo "GPU $index: $name (UUID: $uuid)"
    else
        echo "GPU $index  $name  $bus  $memory MiB  driver $driver  (the rehearsal lab's stand-in)"
    fi
done < "$list"

#!/bin/sh
# The lab asks whether this kind of guest boots at all: say so and power off, before any disk is looked for.
case "${1:-}" in prereqs) exit 0 ;; esac
case " $(cat /proc/cmdline) " in
    *" pic4ser.probe "*) echo 'pic4ser: the guest has booted' > /dev/console && poweroff -f ;;
esac

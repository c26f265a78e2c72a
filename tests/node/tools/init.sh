#!/bin/sh
# The first process of the namespaces (PID, mount, network) in which the cluster runs: when it ends, so does all that was
# started in them, containers too, and their mounts and network are gone with them.
#
#   init.sh FOLDER ADDRESS      writes its process id, as the machine sees it, to FOLDER/init.pid when all is set up
set -eu

# The old /proc, so the outer id.
read -r pid _ </proc/self/stat
mount -t proc proc /proc

# What the programs keep at fixed places, so that neither the machine nor another run meets them there: sockets, locks
# and network namespaces; addresses given out by CNI; links to logs.
mount -t tmpfs tmpfs /run
for folder in /var/lib/cni /var/lib/kubelet /var/log/containers; do
  mkdir -p "$folder"
  mount -t tmpfs tmpfs "$folder"
done

# What the kubelet sets for a whole machine, it sets for itself alone.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
  kernel/keys/root_maxbytes; do
  own=/run/$(basename "$setting")
  cat "/proc/sys/$setting" >"$own"
  mount --bind "$own" "/proc/sys/$setting"
done

# A way out that leads nowhere: programs look for a default route, and nothing leaves the machine.
ip link set lo up
ip link add eth0 type veth peer name nowhere
ip address add "$2/24" dev eth0
ip link set eth0 up
ip link set nowhere up
ip route add default via "${2%.*}.1"
echo 1 >/proc/sys/net/ipv4/ip_forward

echo "$pid" >"$1/.init.pid"
mv "$1/.init.pid" "$1/init.pid"

# Whatever loses its parent comes here, and is waited for.
sleep infinity &
wait

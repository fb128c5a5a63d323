#!/bin/bash
# Boots a real systemd that is thrown away, for tests of units.
#
#   boot.sh FOLDER    boots, says "booted as PID" when it is up; SIGTERM powers it off
#   boot.sh --probe   says why that can't be done here, and fails; else says nothing
#
# systemd is process 1 of namespaces of its own (processes, mounts, network, control groups, names)
# on an overlay of this machine's root: what is installed here is there too, and what it writes goes
# with it. FOLDER, an empty folder, is where that root is mounted. Needs root. However this script
# ends, all of it ends, and nothing stays behind.
set -euo pipefail
umask 022
self=$(readlink -f "${BASH_SOURCE[0]}")
systemd=/usr/lib/systemd/systemd
spare=/mnt # an empty folder that everybody has
apart=(--mount --propagation private --pid --ipc --uts --net --fork --kill-child)

# A mount of control groups, into $groups. One that exists is used: a new one made in the first
# namespace of groups would change the options of the whole machine's.
find_groups() {
    groups=$(findmnt -nro TARGET -t cgroup2 | head -n 1) || : # fails when there is none
    if [ -z "$groups" ]; then
        mount -t tmpfs tmpfs "$spare"
        groups=$spare/groups
        mkdir "$groups"
        mount -t cgroup2 cgroup2 "$groups"
    fi
}

mount_root() { # FOLDER: a root that forgets, at FOLDER/root
    mount -t tmpfs -o mode=755 carillon-boot "$1"
    mkdir "$1/upper" "$1/work" "$1/root"
    mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
}

mount_kernel() { # ROOT: what the kernel shows, and devices that may be used
    mount -t proc -o nosuid,nodev,noexec proc "$1/proc"
    mount --bind "$1/proc/sys" "$1/proc/sys"
    mount -o remount,bind,ro "$1/proc/sys"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$1/sys"
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$1/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$1/run"
    mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$1/dev"
    mkdir "$1/dev/pts" "$1/dev/shm"
    mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$1/dev/pts"
    local name
    for name in null zero full random urandom tty; do
        touch "$1/dev/$name"
        mount --bind "/dev/$name" "$1/dev/$name"
    done
    ln -s pts/ptmx "$1/dev/ptmx"
    ln -s /proc/self/fd "$1/dev/fd"
    for name in stdin:0 stdout:1 stderr:2; do
        ln -s "/proc/self/fd/${name#*:}" "$1/dev/${name%:*}"
    done
}

# Of what is installed here only the journal starts, and D-Bus, over which systemctl asks.
choose_units() { # ROOT
    local units=$1/usr/lib/systemd/system own=$1/etc/systemd/system
    rm -rf "$own"/* "$units"/*.wants/* "$1"/usr/lib/systemd/system-generators/*
    : >"$1/etc/fstab"
    mkdir -p "$1/etc/systemd/journald.conf.d" "$units"/{sockets,sysinit}.target.wants
    ln -s ../systemd-journald.socket ../systemd-journald-dev-log.socket ../dbus.socket \
        "$units/sockets.target.wants/"
    ln -s ../systemd-journald.service "$units/sysinit.target.wants/"
    ln -s /dev/null "$own/systemd-journald-audit.socket"
    printf '%s\n' '[Journal]' Storage=volatile Audit= RateLimitBurst=0 ReadKMsg=no \
        ForwardToSyslog=no >"$1/etc/systemd/journald.conf.d/carillon-boot.conf"
}

# The next two are one process, the first of the new namespaces, which ends as systemd.
stage_join() { # FOLDER: still among the host's control groups
    find_groups
    mkdir "$groups/${1##*/}"
    echo 0 >"$groups/${1##*/}/cgroup.procs"
    exec unshare --cgroup -- "$self" --start "$1"
}
stage_start() { # FOLDER
    local root=$1/root
    ip link set lo up
    mount_root "$1"
    mount_kernel "$root"
    choose_units "$root"
    cd "$root"
    pivot_root . "${spare#/}"
    umount -l "$spare"
    mount --make-rshared / # among these namespaces only; LoadCredential= relies on it
    # Without what reaches into the kernel, which is the host's: as systemd-nspawn(1) does.
    exec env -i container=carillon-boot PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        setpriv --bounding-set="-sys_module,-sys_rawio,-sys_time,-syslog,-audit_control,\
-audit_read,-mac_admin,-mac_override,-wake_alarm,-block_suspend" \
        "$systemd" --system --unit=basic.target
}
stage_sweep() { # NAME: removes the control groups of that name
    local i
    find_groups
    [ -d "$groups/$1" ] || return 0
    # The kernel lets go of them a moment after the last process.
    for ((i = 0; i < 100; i++)); do
        grep -q 'populated 0' "$groups/$1/cgroup.events" && break
        sleep 0.1
    done
    find "$groups/$1" -depth -type d -exec rmdir {} +
}

# Does for a moment what booting does.
stage_probe() {
    [ "$(id -u)" = 0 ] || { echo "this is not root"; exit 1; }
    local program
    for program in "$systemd" nsenter setpriv findmnt ip dbus-daemon journalctl; do
        command -v "$program" >/dev/null || { echo "$program is missing: see .ci/deps"; exit 1; }
    done
    local failed
    failed=$(unshare "${apart[@]}" -- "$self" --try "$$" 2>&1) || {
        echo "no namespaces with mounts and control groups of their own: ${failed:-unshare failed}"
        exit 1
    }
}
stage_try() { # NUMBER
    find_groups
    mkdir "$groups/carillon-probe.$1"
    rmdir "$groups/carillon-probe.$1"
    local folder=$spare/carillon-probe
    findmnt -n "$spare" >/dev/null || mount -t tmpfs tmpfs "$spare"
    mkdir "$folder"
    mount_root "$folder"
    mount -t proc proc "$folder/root/proc"
    mount -t sysfs -o ro sysfs "$folder/root/sys"
}

case ${1:-} in
--probe | --join | --start | --sweep | --try)
    stage=${1#--}
    shift
    "stage_$stage" "$@"
    exit
    ;;
esac

folder=$1
apart_pid=
leader=

# Ends when the last holder of its input has, which is this script: also when it is killed.
exec 8> >(
    trap '' TERM INT HUP
    cat >/dev/null
    exec unshare --mount --propagation private -- "$self" --sweep "${folder##*/}"
)

power_off() {
    trap '' TERM INT HUP
    [ -z "$leader" ] || kill -RTMIN+4 "$leader" 2>/dev/null || : # a clean power-off
    local i
    for ((i = 0; i < 200; i++)); do
        kill -0 "$apart_pid" 2>/dev/null || break
        sleep 0.05
    done
    if kill -KILL "$apart_pid" 2>/dev/null; then echo "had to be killed"; else echo "powered off"; fi
    wait "$apart_pid" 2>/dev/null || :
    exec 8>&-
    wait || :
}
trap power_off EXIT
trap 'exit 0' TERM INT HUP

# When this script is killed, so is unshare, and with it process 1 and all below it.
setpriv --pdeathsig KILL unshare "${apart[@]}" -- "$self" --join "$folder" </dev/null 8>&- &
apart_pid=$!
state=
for ((i = 0; i < 600; i++)); do
    leader=$(tr -d ' ' 2>/dev/null <"/proc/$apart_pid/task/$apart_pid/children") || break
    if [ "$(cat "/proc/$leader/comm" 2>/dev/null)" = systemd ] &&
        [ -S "/proc/$leader/root/run/systemd/private" ]; then
        state=$(nsenter -t "$leader" -m -p -C -i -u -n systemctl is-system-running 2>&1) || :
        case $state in running | degraded) break ;; esac
    fi
    sleep 0.1
done
case $state in
running | degraded) echo "booted as $leader" ;;
*)
    echo "systemd did not come up: ${state:-no answer}"
    exit 1
    ;;
esac
wait "$apart_pid"

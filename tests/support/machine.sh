#!/bin/sh
# The first process of a machine in namespaces of its own: `machine.sh ROOT WORK`. ROOT stays as it is, what is written goes
# to memory. Nothing of this machine can be changed from inside: kernel settings and /sys are read-only, modules and the
# clock are out of reach.
set -e
root=$2/root
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir "$2/upper" "$2/work" "$root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$root"
mount -t proc proc "$root/proc"
for each in sys sysrq-trigger; do
    [ -e "$root/proc/$each" ] || continue # not every kernel has it
    mount --bind "$root/proc/$each" "$root/proc/$each"
    mount -o remount,bind,ro "$root/proc/$each"
done
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for each in null zero full random urandom tty; do
    : > "$root/dev/$each"
    mount --bind "/dev/$each" "$root/dev/$each"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
cd "$root"
pivot_root . mnt
umount -l /mnt
exec setpriv --bounding-set=-sys_module,-sys_time,-sys_boot,-sys_rawio \
    env -i container=test PATH=/usr/sbin:/usr/bin /sbin/init --log-target=journal-or-kmsg --show-status=no

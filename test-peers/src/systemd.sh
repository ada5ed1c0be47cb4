# sh systemd.sh FOLDER: a systemd, process 1 of a machine of its own: this one's files, and whatever is done to them is gone
# afterwards. When all is prepared its process's number out here is said. It ends, and leaves nothing, when standard input ends.
set -eu
folder=$1

if [ $# = 1 ]; then
    hierarchy=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET) || { echo "no cgroup2 here" >&2; exit 1; }
    group=$hierarchy/net-tcp-systemd-$$
    mkdir "$group"
    unshare --fork --kill-child --pid --mount --uts --ipc --net --propagation private \
        sh "$0" "$folder" "$group" </dev/null &
    machine=$!
    exec >&- # Whoever waits for the number is told that there is none.
    read -r _ || :
    kill -KILL $machine 2>/dev/null || :
    wait $machine 2>/dev/null || :
    # Its processes end a moment later.
    tries=0
    until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || [ $((tries += 1)) = 500 ]; do sleep 0.02; done
    exit
fi

if [ $# = 2 ]; then
    # From here on the group is all that there is of control groups.
    echo 0 >"$2/cgroup.procs"
    exec unshare --cgroup sh "$0" "$folder" "$2" inside
fi

read -r process _ </proc/self/stat
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/changed" "$folder/work" "$folder/root" "$folder/units" "$folder/empty"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/changed,workdir=$folder/work" "$folder/root"
cd "$folder/root"
mount -t proc proc proc
mount --bind -o ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for place in run tmp dev/shm var/log etc/systemd; do
    mount -t tmpfs -o mode=1777 tmpfs $place
done
chmod 755 run var/log etc/systemd
mkdir etc/systemd/system
[ -s etc/machine-id ] || tr -d - </proc/sys/kernel/random/uuid >etc/machine-id

# Of all services journald alone; it leaves the audit messages to the machine outside.
for unit in sysinit.target basic.target multi-user.target local-fs.target network.target paths.target shutdown.target slices.target \
    sockets.target timers.target umount.target systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
    cp "usr/lib/systemd/system/$unit" "$folder/units"
done
mkdir "$folder/units/sockets.target.wants" "$folder/units/sysinit.target.wants"
ln -s ../systemd-journald.socket ../systemd-journald-dev-log.socket "$folder/units/sockets.target.wants"
ln -s ../systemd-journald.service "$folder/units/sysinit.target.wants"
mount --bind "$folder/units" usr/lib/systemd/system
for generators in usr/lib/systemd/system-generators usr/lib/systemd/system-environment-generators; do
    mount --bind "$folder/empty" $generators
done
printf '[Journal]\nAudit=no\nStorage=volatile\nRateLimitBurst=0\n' >etc/systemd/journald.conf

pivot_root . mnt
cd /
umount --lazy /mnt
echo "$process"
exec >/dev/null 2>&1
# It may change nothing of the machine outside: its time, its modules, its audit.
exec env -i container=net-tcp PATH="$PATH" setpriv \
    --bounding-set=-sys_time,-sys_module,-sys_boot,-sys_rawio,-audit_control,-syslog,-mac_admin \
    /usr/lib/systemd/systemd --system --unit=multi-user.target

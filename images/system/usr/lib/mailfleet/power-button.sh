# Turns the machine off, in order, when one of its power buttons is pressed: so a cloud stops or ends an instance.
# It is what logind would do, without logind and its D-Bus. Fails, and is tried again, when there is no button.
set -u
modprobe --all --quiet button evdev
found=
for event in /sys/class/input/event*; do
    read -r name < "$event/device/name" || continue
    [ "$name" = 'Power Button' ] || continue
    found=yes
    # The first event of a press; an input_event has 24 bytes.
    head --bytes=24 "/dev/input/${event##*/}" > /dev/null && systemctl poweroff --no-block &
done
[ -n "$found" ] || exit 1
wait

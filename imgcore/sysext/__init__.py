"""What systemd-sysext and systemd-confext would make of a host and its extensions, without mounting anything."""

#!/bin/sh
# Installs empty packages in the place of dependencies that nothing in this image runs:
#   libgl1-mesa-dri        OpenGL drivers and LLVM; the X server runs without GLX, Chromium brings its own SwiftShader
#   python3                openbox's XDG autostart, which is not used
#   perl libfile-readbackwards-perl  the vncserver wrapper; Xtigervnc is called itself
#   libspectre1 libheif1 libjxl0.7 libid3tag0   image loaders of openbox's menu icons; there is no menu
#   dconf-gsettings-backend  GTK's settings store, which would bring D-Bus and systemd
# An apt that resolves against them stays consistent, so the image can be built upon with apt-get as usual;
# a package that needs the real thing: remove the stub first (dpkg --remove --force-depends <name>).
set -eu
for name in libgl1-mesa-dri python3 perl libfile-readbackwards-perl libspectre1 libheif1 libjxl0.7 libid3tag0 dconf-gsettings-backend; do
  root=$(mktemp -d)
  mkdir "$root/DEBIAN"
  case $name in
    python3 | perl) multi=allowed ;;
    libfile-readbackwards-perl) multi=foreign ;;
    *) multi=same ;;
  esac
  cat > "$root/DEBIAN/control" <<CONTROL
Package: $name
Version: 999:0
Architecture: $(dpkg --print-architecture)
Multi-Arch: $multi
Maintainer: Porthole
Description: empty stand-in, nothing in this image runs it
CONTROL
  chmod 0755 "$root"
  dpkg-deb --build "$root" "/tmp/$name.deb" > /dev/null
  dpkg --install "/tmp/$name.deb" > /dev/null
done

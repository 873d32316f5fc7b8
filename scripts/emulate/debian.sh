# Sourced by the scripts of this folder: packages of Debian for another processor, unpacked without root.
mirror=${MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg

die() { echo "$1" >&2; exit "${2:-1}"; }

# debian NAME SUITE ARCHITECTURE PACKAGES...: unpacks the packages and their dependencies into $work/NAME. It runs none of
# their programs, and apt uses a state folder of its own, so it needs no root.
debian() {
  local name=$1 suite=$2 arch=$3 root=$work/$1 state=$work/$1-apt
  shift 3
  [ "$(cat "$root/complete" 2>/dev/null)" = "$suite $*" ] && return
  echo "$name: Debian $suite for $arch, $*"
  rm -rf "$root"
  mkdir -p "$root" "$state"/{lists,archives}/partial
  : >"$state/status"
  echo "deb [signed-by=$keys] $mirror $suite main" >"$state/sources.list"
  local apt=(
    apt-get -qq -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Dir::State="$state"
    -o Dir::State::status="$state/status" -o Dir::Cache="$state" -o Dir::Etc::sourcelist="$state/sources.list"
    -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User= -o Debug::NoLocking=1 -o Acquire::Languages=none
    -o APT::Update::Error-Mode=any -o Acquire::Retries=2
  )
  "${apt[@]}" update || die "Debian's mirror is not reachable: $mirror" 75
  "${apt[@]}" install --yes --no-install-recommends --download-only "$@" >/dev/null || die "apt cannot download: $*" 75
  for package in "$state"/archives/*.deb; do
    dpkg-deb -x "$package" "$root"
  done
  rm -rf "$state"
  for part in blas lapack; do  # what Debian's alternatives would link
    (cd "$root"/usr/lib/*-linux-gnu*/ && ln -sf "$part/lib$part.so.3" .)
  done
  echo "$suite $*" >"$root/complete"
}

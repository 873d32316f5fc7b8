#!/usr/bin/env bash
# `pocketsight deploy` to an emulated board, as a user would: fresh, an upgrade, models alone, back, a version that fails its
# watch, and a reboot. Each step says what ran and the seconds it took, and fails where the board runs something else.
#
#   scripts/emulate/deploy_board.sh          # in an environment with pocketsight[dev]; about an hour on two cores
#
# The board is number 9 of board.sh, fresh, and off at the end. The versions are those of commits in a clone of this
# checkout. The log is kept in .venv-emulated/board/deploy.log. Status 75: Debian's mirror is not reachable.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export EMULATED=${EMULATED:-$here/../../.venv-emulated}
folder=$EMULATED/board
name=board9

board() { ssh -F "$folder/ssh_config" $name "$@"; }

# pocketsight VERSION WORDS...: the command of a commit of the clone
pocketsight() {
  git -C "$folder/clone" checkout --quiet "$1"
  shift
  PYTHONPATH=$folder/clone/scripts/package:$folder/clone PYTHONDONTWRITEBYTECODE=1 python -c \
    'from pocketsight.device.cli.main import main; main(prog_name="pocketsight")' "$@" --ssh-config "$folder/ssh_config"
}

# step STATUS TEXT COMMAND...: runs a command, which must end with this status
step() {
  local wanted=$1 text=$2 start=$SECONDS status=0
  shift 2
  echo "== $text"
  "$@" || status=$?
  echo "   $text: status $status, $((SECONDS - start)) s"
  [ $status = "$wanted" ] || { echo "FAILED: $text" >&2; exit 1; }
}

# runs RELEASE: the service runs this release and gets frames
runs() {
  local state
  state=$(pocketsight "$first" deploy status $name --json)
  python - "$1" "$state" <<'END'
import json, sys
wanted, (state,) = sys.argv[1], json.loads(sys.argv[2])
print(json.dumps({key: state[key] for key in ("release", "previous", "version", "models", "fps", "frames", "uptime_s", "faults")}))
sys.exit(not (state["release"].startswith(wanted) and state["running"] and state["frames"]))
END
}

commit() {
  git -C "$folder/clone" -c user.name=emulated -c user.email=emulated@localhost commit --quiet --allow-empty -am "$1"
  git -C "$folder/clone" rev-parse HEAD
}

release() { board 'basename "$(readlink /opt/pocketsight/current)"'; }

main() {
  "$here/board.sh" remove 9 2>/dev/null || true
  "$here/board.sh" start 9
  rm -rf "$folder/clone"
  git clone --quiet "$here/../.." "$folder/clone"
  first=$(git -C "$folder/clone" rev-parse HEAD)
  second=$(commit second)
  sed -i 's/^    config = RunConfig(\*\*options)$/    __import__("threading").Timer(20, lambda: __import__("os")._exit(1)).start()\n&/' \
    "$folder/clone/device/cli/run.py"
  bad=$(commit bad)

  step 0 "fresh" pocketsight "$first" deploy $name
  old=$(release)
  step 0 "runs $old" runs "$old"
  step 0 "the unit" board systemctl --no-pager --lines 5 status pocketsight
  step 0 "upgrade" pocketsight "$second" deploy $name
  new=$(release)
  [ "$new" != "$old" ] || die "the upgrade changed nothing"
  step 0 "models alone" pocketsight "$second" deploy $name --models "$folder/clone/models/detector-tiny.tflite"
  step 0 "back" pocketsight "$second" deploy --rollback $name
  step 0 "runs $new" runs "$new"
  step 1 "a version that ends within its watch" pocketsight "$bad" deploy $name
  step 0 "runs $new" runs "$new"
  step 0 "reboot" reboot
  step 0 "runs $new" runs "$new"
  "$here/board.sh" stop 9
}

reboot() {
  "$here/board.sh" stop 9
  "$here/board.sh" start 9
  board 'until systemctl is-active --quiet pocketsight; do sleep 1; done; sleep 20'
}

. "$here/debian.sh"
mkdir -p "$folder"
main 2>&1 | tee "$folder/deploy.log"

#!/bin/sh
# Owns the checks of nix/ that need no nixpkgs: every file parses, the flake evaluates against a stub, the rendered unit
# passes systemd-analyze and the rendered Caddyfile passes caddy. Real NixOS builds and boots are not done here.
# Exit 77: nix is not installed and --install was not given (or apt-get is not usable).
set -eu
cd "$(dirname "$0")/.."

if ! command -v nix-instantiate >/dev/null 2>&1; then
  if [ "${1:-}" != "--install" ] || ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo 'skipped: nix is not installed (run with --install as root on Debian, or install nix-bin)'
    exit 77
  fi
  apt-get install -y --no-install-recommends nix-bin >/dev/null
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nix() { command nix --extra-experimental-features 'nix-command flakes' "$@" 2>"$work/log" || { cat "$work/log"; return 1; }; }

for file in flake.nix nix/*.nix test/nix/*.nix test/nix/stub/*.nix; do
  nix-instantiate --parse "$file" >/dev/null 2>"$work/log" || { cat "$work/log"; exit 1; }
done
echo 'parsed: every .nix file'

# A copy, so that the check works in a tree that is not a git repository and never writes a lock file into it.
mkdir "$work/flake"
cp -r flake.nix nix package.json package-lock.json "$work/flake/"
mkdir -p "$work/flake/test"
cp -r test/nix "$work/flake/test/"
stub="path:$work/flake/test/nix/stub"
nix flake check "path:$work/flake" --override-input nixpkgs "$stub" --no-write-lock-file --no-build
echo 'flake: evaluates against the stub'

nix eval --impure --json --expr \
  "import $work/flake/test/nix/cases.nix { nixpkgs = builtins.getFlake \"$stub\"; }" >"$work/cases.json"
node test/nix/render.mjs "$work/cases.json" "$work"
echo 'module: renders, and refuses what it must'

if command -v systemd-analyze >/dev/null 2>&1; then
  systemd-analyze verify "$work/pol-node.service" >"$work/verify" 2>&1 || { cat "$work/verify"; exit 1; }
  if grep -E 'pol-node.service:.*(Unknown|Failed|Invalid|ignoring)' "$work/verify"; then exit 1; fi
  echo 'unit: systemd-analyze finds nothing wrong'
else
  echo 'skipped: systemd-analyze is not installed'
fi

if command -v caddy >/dev/null 2>&1; then
  caddy adapt --validate --adapter caddyfile --config "$work/Caddyfile" >/dev/null 2>"$work/log" || { cat "$work/log"; exit 1; }
  echo 'proxy: caddy accepts the configuration'
else
  echo 'skipped: caddy is not installed'
fi

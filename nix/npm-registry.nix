# Owns where npm packages are downloaded from. The repository names no registry: every file is pinned by its hash in
# package-lock.json, so any mirror serves. Say which one when building:
#   POL_NODE_NPM_REGISTRY=https://... nix build --impure
let
  given = builtins.getEnv "POL_NODE_NPM_REGISTRY";
in
if given == "" then "https://set-POL_NODE_NPM_REGISTRY-and-build-with-impure.invalid" else given

# Owns the build of pol-node from its lockfile: no install scripts, no network beyond the hashed npm files.
{
  lib,
  buildNpmPackage,
  importNpmLock,
  makeWrapper,
  nodejs_22,
  npmRegistry,
  src ? ../.,
}:
let
  package = lib.importJSON (src + "/package.json");
  lock = lib.importJSON (src + "/package-lock.json");

  # "node_modules/a/node_modules/@s/b" is the package "@s/b"; its file is named after the part behind the scope.
  nameOf = path: lib.last (lib.splitString "node_modules/" path);
  fileOf = path: version: "${lib.last (lib.splitString "/" (nameOf path))}-${version}.tgz";

  # The lockfile leaves addresses out; importNpmLock wants one beside each hash.
  withAddress =
    path: entry:
    if entry ? resolved || !(entry ? integrity) then
      entry
    else
      entry // { resolved = "${npmRegistry}/${entry.name or (nameOf path)}/-/${fileOf path entry.version}"; };
in
buildNpmPackage {
  pname = package.name;
  inherit (package) version;
  inherit src;

  nodejs = nodejs_22;
  npmDeps = importNpmLock {
    npmRoot = src;
    inherit package;
    packageLock = lock // {
      packages = lib.mapAttrs withAddress lock.packages;
    };
  };
  npmConfigHook = importNpmLock.npmConfigHook;
  npmFlags = [ "--ignore-scripts" ];
  nativeBuildInputs = [ makeWrapper ];

  # build/ is ignored by git, so `npm pack` would leave it out: install by hand.
  dontNpmInstall = true;
  installPhase = ''
    runHook preInstall
    npm prune --omit=dev --ignore-scripts
    mkdir -p $out/lib/pol-node $out/bin
    cp -r bin build node_modules package.json $out/lib/pol-node/
    makeWrapper ${nodejs_22}/bin/node $out/bin/pol-node --add-flags $out/lib/pol-node/bin/pol-node.mjs
    runHook postInstall
  '';

  meta = {
    inherit (package) description;
    license = lib.licenses.mit;
    mainProgram = "pol-node";
    platforms = lib.platforms.linux;
  };
}

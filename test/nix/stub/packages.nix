# Stand-ins for packages: derivations with the right names whose builder does nothing.
{ lib }:
system:
let
  fake =
    name: extra:
    (derivation {
      inherit name system;
      builder = "/bin/sh";
      args = [
        "-c"
        "echo ${name} > $out"
      ];
    })
    // extra;
  callWith =
    scope: path: given:
    let
      function = import path;
      wanted = builtins.functionArgs function;
      found = builtins.intersectAttrs wanted scope;
    in
    function (found // given);
  scope = {
    inherit lib;
    buildNpmPackage =
      args:
      let
        # Forces what the real one would: every address of the lockfile, the phases, the metadata.
        all = builtins.deepSeq [
          args.npmDeps
          args.installPhase
          args.meta.mainProgram
        ] args;
      in
      fake "${all.pname}-${all.version}" { inherit (all) meta npmDeps; };
    importNpmLock = {
      npmConfigHook = fake "npm-config-hook" { };
      __functor =
        _: { packageLock, ... }: map (path: packageLock.packages.${path}.resolved or null) (builtins.attrNames packageLock.packages);
    };
    makeWrapper = fake "make-wrapper" { };
    nodejs_22 = fake "nodejs" { };
    clang = fake "clang" { };
    caddy = fake "caddy" { };
    mkShell = { packages }: fake "shell-${toString (builtins.length packages)}" { inherit packages; };
    stdenv.hostPlatform.system = system;
    formats.json = _: { generate = name: value: builtins.toFile name (builtins.toJSON value); };
    callPackage = callWith scope;
  };
in
scope

# Configurations of the module: those that must evaluate, and those that must be refused with a reason.
# Evaluated by scripts/check-nix.sh as `import ./cases.nix { nixpkgs = <the stub>; }`.
{ nixpkgs }:
let
  pkgs = nixpkgs.legacyPackages.x86_64-linux;
  package = pkgs.callPackage ../../nix/package.nix { npmRegistry = "https://mirror.invalid"; };
  evaluate =
    settings:
    (nixpkgs.lib.nixosSystem {
      system = "x86_64-linux";
      modules = [
        (import ../../nix/module.nix)
        { services.pol-node = { inherit package; } // settings; }
      ];
    }).config;
  full = evaluate {
    enable = true;
    bootNodes = [ "boot.example.org:8000" ];
    training = true;
    port = 9000;
    apiPort = 9001;
    openFirewall = true;
    keystoreFile = "/run/secrets/keystore.json";
    passwordFile = "/run/secrets/password";
    genesisFile = "/etc/pol-node/genesis.json";
    settings.capacity = 4;
    proxy.enable = true;
    proxy.hostName = "node.example.org";
  };
  refusals = {
    samePorts = {
      enable = true;
      apiPort = 8000;
    };
    keystoreWithoutPassword = {
      enable = true;
      keystoreFile = "/run/secrets/keystore.json";
    };
    secretInStore = {
      enable = true;
      keystoreFile = "${builtins.storeDir}/x";
      passwordFile = "/run/secrets/password";
    };
    proxyWithoutName = {
      enable = true;
      proxy.enable = true;
    };
    portOutOfRange = {
      enable = true;
      port = 70000;
    };
    unknownOption = {
      enable = true;
      prot = 8000;
    };
    wrongType = {
      enable = true;
      bootNodes = "boot.example.org:8000";
    };
  };
in
{
  unit = full.systemd.services.pol-node;
  caddyfile = builtins.concatStringsSep "\n" (
    map (host: "${host} {\n${full.services.caddy.virtualHosts.${host}.extraConfig}}") (
      builtins.attrNames full.services.caddy.virtualHosts
    )
  );
  firewall = full.networking.firewall.allowedTCPPorts;
  disabled = (evaluate { }).systemd.services;
  # Null when the case was (wrongly) accepted or its rejection could be caught, as it must be.
  accepted = builtins.filter (
    name: (builtins.tryEval (builtins.deepSeq (evaluate refusals.${name}).systemd.services.pol-node.serviceConfig true)).success
  ) (builtins.attrNames refusals);
  addresses = builtins.filter (address: address != null) package.npmDeps;
}

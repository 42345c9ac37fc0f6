# Stands in for nixpkgs where it cannot be downloaded: enough of a library and of NixOS's options to evaluate this
# repository's flake and module. It builds nothing real.
{
  outputs =
    { self }:
    let
      lib = import ./lib.nix;
      pkgs = import ./packages.nix { inherit lib; };
    in
    {
      inherit lib;
      legacyPackages = {
        x86_64-linux = pkgs "x86_64-linux";
        aarch64-linux = pkgs "aarch64-linux";
      };
    };
}

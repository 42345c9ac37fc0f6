# Lists what nix can make of pol-node: the package, a shell to develop in, a NixOS module and a machine image.
{
  description = "pol-node: a standalone Proof-of-Learning chain";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEachSystem =
        make:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = make nixpkgs.legacyPackages.${system};
          }) systems
        );
      packageFor = pkgs: pkgs.callPackage ./nix/package.nix { npmRegistry = import ./nix/npm-registry.nix; };
      trainer = nixpkgs.lib.nixosSystem {
        system = "x86_64-linux";
        modules = [
          (import ./nix/module.nix)
          (import ./nix/image.nix)
          { services.pol-node.package = packageFor nixpkgs.legacyPackages.x86_64-linux; }
        ];
      };
    in
    {
      packages = forEachSystem (
        pkgs:
        {
          default = packageFor pkgs;
        }
        // (
          if pkgs.stdenv.hostPlatform.system == "x86_64-linux" then
            { image = trainer.config.system.build.images.qemu; }
          else
            { }
        )
      );
      devShells = forEachSystem (pkgs: {
        default = pkgs.callPackage ./nix/dev-shell.nix { };
      });
      nixosModules.default = import ./nix/module.nix;
      nixosConfigurations.trainer = trainer;
    };
}

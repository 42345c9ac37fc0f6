# Owns the machine image of a trainer: a small NixOS that starts pol-node. Boot nodes, genesis and keys are added by
# whoever builds it. `nix build .#image` makes a qcow2; its bytes are not reproducible, so a record of it needs both the
# hash of the published file and the NAR hash of `system.build.toplevel`, which anyone can rebuild.
{ lib, ... }:
{
  services.pol-node = {
    enable = true;
    training = lib.mkDefault true;
    openFirewall = lib.mkDefault true;
    settings.node_id = lib.mkDefault "trainer";
  };

  networking.hostName = lib.mkDefault "pol-trainer";
  networking.firewall.enable = true;
  # No login is possible until whoever builds the image adds a user and a key.
  services.openssh = {
    enable = lib.mkDefault false;
    settings.PasswordAuthentication = false;
  };
  documentation.enable = lib.mkDefault false;
  time.timeZone = lib.mkDefault "UTC";

  virtualisation.diskSize = lib.mkDefault 16384;
  system.stateVersion = "25.11";
}

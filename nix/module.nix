# Owns running a pol-node as a NixOS service: configuration file, secrets as systemd credentials, a hardened unit, ports
# and an optional reverse proxy. What the keys of `settings` mean is the node's (node/config.ts).
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.pol-node;
  inherit (lib) mkIf mkOption types;

  stateDirectory = "/var/lib/pol-node";
  generated = (pkgs.formats.json { }).generate "pol-node.json" (
    {
      data_dir = stateDirectory;
      port = cfg.port;
      api_port = cfg.apiPort;
      host = cfg.host;
      api_host = cfg.apiHost;
      boot_nodes = cfg.bootNodes;
      training_enabled = cfg.training;
    }
    // cfg.settings
  );
  configFile = if cfg.configFile != null then cfg.configFile else generated;

  credentials = {
    keystore = cfg.keystoreFile;
    password = cfg.passwordFile;
    genesis = cfg.genesisFile;
  };
  given = lib.filterAttrs (_: path: path != null) credentials;
in
{
  options.services.pol-node = {
    enable = lib.mkEnableOption "the pol-node service";

    package = mkOption {
      type = types.package;
      description = "The pol-node package to run.";
    };

    configFile = mkOption {
      type = types.nullOr types.path;
      default = null;
      description = "A ready configuration file (JSON); when set, `settings` and the options it is made of are not used.";
    };

    settings = mkOption {
      type = types.attrsOf types.anything;
      default = { };
      example = {
        node_id = "trainer-1";
        capacity = 4;
      };
      description = "Keys of the configuration file that have no option of their own. No secrets: the file is world-readable.";
    };

    bootNodes = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "boot.example.org:8000" ];
      description = "Peers to dial first.";
    };

    training = mkOption {
      type = types.bool;
      default = false;
      description = "Whether this node trains.";
    };

    host = mkOption {
      type = types.str;
      default = "0.0.0.0";
      description = "Address the peer port binds.";
    };

    port = mkOption {
      type = types.port;
      default = 8000;
      description = "TCP port for peers.";
    };

    apiHost = mkOption {
      type = types.str;
      default = "127.0.0.1";
      description = "Address the API binds.";
    };

    apiPort = mkOption {
      type = types.port;
      default = 8080;
      description = "TCP port for JSON-RPC, REST, chat and the page.";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the peer port is opened. The API port never is: use `proxy`.";
    };

    keystoreFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/run/secrets/pol-node-keystore.json";
      description = "Encrypted keystore on the host, handed to the service as a credential. A string, not a store path.";
    };

    passwordFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/run/secrets/pol-node-password";
      description = "Password of the keystore on the host, handed to the service as a credential. A string, not a store path.";
    };

    genesisFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "Genesis file of the network to join.";
    };

    proxy = {
      enable = lib.mkEnableOption "a Caddy reverse proxy before the API";

      hostName = mkOption {
        type = types.str;
        default = "";
        example = "node.example.org";
        description = "Public name; Caddy obtains a certificate for it.";
      };
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.port != cfg.apiPort;
        message = "services.pol-node: port and apiPort must differ";
      }
      {
        assertion = cfg.keystoreFile == null || cfg.passwordFile != null;
        message = "services.pol-node: keystoreFile needs passwordFile";
      }
      {
        assertion = !cfg.proxy.enable || cfg.proxy.hostName != "";
        message = "services.pol-node: proxy.hostName is empty";
      }
      {
        assertion = lib.all (path: path == null || !(lib.hasPrefix builtins.storeDir path)) [
          cfg.keystoreFile
          cfg.passwordFile
        ];
        message = "services.pol-node: secrets must not lie in the world-readable nix store";
      }
    ];

    systemd.services.pol-node = {
      description = "pol-node";
      documentation = [ "file://${cfg.package}/lib/pol-node/package.json" ];
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];

      # %d is the directory of the unit's credentials: secrets never pass through the environment or a command line.
      environment = {
        NODE_ENV = "production";
      }
      // lib.mapAttrs' (name: _: {
        name = "POL_NODE_${lib.toUpper name}_FILE";
        value = "%d/${name}";
      }) given;

      serviceConfig = {
        ExecStart = "${cfg.package}/bin/pol-node run --config-file ${configFile}";
        LoadCredential = lib.mapAttrsToList (name: path: "${name}:${path}") given;
        Restart = "on-failure";
        RestartSec = "2s";
        TimeoutStopSec = "30s";
        LimitNOFILE = 65536;

        DynamicUser = true;
        StateDirectory = "pol-node";
        StateDirectoryMode = "0700";
        WorkingDirectory = stateDirectory;
        UMask = "0077";

        CapabilityBoundingSet = "";
        NoNewPrivileges = true;
        PrivateDevices = true;
        PrivateTmp = true;
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectHome = true;
        ProtectHostname = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectProc = "invisible";
        ProtectSystem = "strict";
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_UNIX"
        ];
        RestrictNamespaces = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        LockPersonality = true;
        RemoveIPC = true;
        SystemCallArchitectures = "native";
        SystemCallFilter = [
          "@system-service"
          "~@privileged"
        ];
        # V8 compiles to memory that is written and then executed, so MemoryDenyWriteExecute cannot be set.
      };
    };

    networking.firewall.allowedTCPPorts =
      lib.optional cfg.openFirewall cfg.port
      ++ lib.optionals cfg.proxy.enable [
        80
        443
      ];

    services.caddy = mkIf cfg.proxy.enable {
      enable = true;
      virtualHosts.${cfg.proxy.hostName}.extraConfig = ''
        encode gzip
        request_body {
          max_size 12MB
        }
        reverse_proxy 127.0.0.1:${toString cfg.apiPort} {
          flush_interval -1
        }
      '';
    };
  };
}

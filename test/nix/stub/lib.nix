# A small library with the names the flake and the module use, and an evaluation of modules: options with types, defaults,
# mkIf, mkMerge, priorities, assertions. Written for this test; it knows only what is needed here.
let
  inherit (builtins) all attrNames concatLists concatMap elemAt filter foldl' hasAttr head isAttrs isBool isFunction;
  inherit (builtins) isInt isList isString length listToAttrs map mapAttrs match replaceStrings split stringLength;
  inherit (builtins) substring tail fromJSON readFile isPath;

  optional = condition: value: if condition then [ value ] else [ ];
  last = list: elemAt list (length list - 1);
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  letters = {
    lower = [ "a" "b" "c" "d" "e" "f" "g" "h" "i" "j" "k" "l" "m" "n" "o" "p" "q" "r" "s" "t" "u" "v" "w" "x" "y" "z" ];
    upper = [ "A" "B" "C" "D" "E" "F" "G" "H" "I" "J" "K" "L" "M" "N" "O" "P" "Q" "R" "S" "T" "U" "V" "W" "X" "Y" "Z" ];
  };

  mergeLast = _: last;
  type = name: check: { inherit name check; merge = mergeLast; };
  types = {
    str = type "string" isString;
    bool = type "boolean" isBool;
    port = type "port" (value: isInt value && value >= 0 && value <= 65535);
    path = type "path" (value: isPath value || (isString value && hasPrefix "/" value));
    package = type "package" (value: isAttrs value && value ? outPath);
    anything = type "anything" (_: true);
    nullOr = inner: type "null or ${inner.name}" (value: value == null || inner.check value);
    listOf = inner: {
      name = "list of ${inner.name}";
      check = value: isList value && all inner.check value;
      merge = _: concatLists;
    };
    attrsOf = inner: {
      name = "attributes of ${inner.name}";
      check = value: isAttrs value && all (name: inner.check (plain value.${name})) (attrNames value);
      merge = where: values: foldl' (left: right: left // mapAttrs (_: plain) right) { } values;
    };
  };
  # The value inside mkDefault and mkForce.
  plain = value: if isAttrs value && (value._type or "") == "override" then value.content else value;
  priorityOf = value: if isAttrs value && (value._type or "") == "override" then value.priority else 100;

  isOption = value: isAttrs value && (value._type or "") == "option";
  mergeTrees =
    left: right:
    if isOption left || isOption right then
      throw "an option is declared twice"
    else
      left // mapAttrs (name: value: if hasAttr name left then mergeTrees left.${name} value else value) right;

  # All values that a definition gives for a path. The condition of mkIf is looked at only where its content defines the
  # path, or every condition would depend on itself.
  valuesAt =
    path: definition:
    if isAttrs definition && (definition._type or "") == "if" then
      let
        inside = valuesAt path definition.content;
      in
      if inside == [ ] then [ ] else if definition.condition then inside else [ ]
    else if isAttrs definition && (definition._type or "") == "merge" then
      concatMap (valuesAt path) definition.contents
    else if path == [ ] then
      [ definition ]
    else if isAttrs definition && hasAttr (head path) definition then
      valuesAt (tail path) definition.${head path}
    else
      [ ];

  # Paths a definition sets that no option declares.
  undeclared =
    tree: where: definition:
    if isAttrs definition && (definition._type or "") == "if" then
      undeclared tree where definition.content
    else if isAttrs definition && (definition._type or "") == "merge" then
      concatMap (undeclared tree where) definition.contents
    else if isOption tree || !(isAttrs definition) then
      [ ]
    else
      concatMap (
        name: if hasAttr name tree then undeclared tree.${name} "${where}.${name}" definition.${name} else [ "${where}.${name}" ]
      ) (attrNames definition);

  evaluate =
    { modules, pkgs }:
    let
      load =
        module:
        let
          body =
            if isFunction module then
              module {
                inherit config lib pkgs;
              }
            else if isPath module then
              import module
            else
              module;
          loaded = if isFunction body then load body else [ body ];
        in
        concatMap (one: concatMap load (one.imports or [ ]) ++ [ one ]) loaded;
      bodies = concatMap load modules;
      options = foldl' mergeTrees { } (map (body: body.options or { }) bodies);
      definitions = map (
        body: if body ? options || body ? config then body.config or { } else removeAttrs body [ "imports" ]
      ) bodies;
      strangers = concatMap (undeclared options "") definitions;
      resolve =
        path: tree:
        if isOption tree then
          let
            given = concatMap (valuesAt path) definitions;
            best = foldl' (least: value: if priorityOf value < least then priorityOf value else least) 10000 given;
            winners = map plain (filter (value: priorityOf value == best) given);
            where = builtins.concatStringsSep "." path;
            bad = filter (value: !(tree.type.check value)) winners;
          in
          if bad != [ ] then
            throw "option ${where} is not of type ${tree.type.name}"
          else if winners == [ ] then
            (tree.default or (throw "option ${where} has no value"))
          else
            tree.type.merge where winners
        else
          mapAttrs (name: resolve (path ++ [ name ])) tree;
      config = resolve [ ] options;
      failed = map (one: one.message) (filter (one: !one.assertion) config.assertions);
    in
    if strangers != [ ] then
      throw "undeclared options: ${toString strangers}"
    else if failed != [ ] then
      throw "failed assertions: ${toString failed}"
    else
      { inherit config options; };

  open = default: {
    _type = "option";
    type = {
      name = "raw";
      check = _: true;
      merge = _: values: if isAttrs (head values) then foldl' mergeDeep { } values else if isList (head values) then concatLists values else last values;
    };
    inherit default;
  };
  mergeDeep =
    left: right:
    left
    // mapAttrs (
      name: value: if isAttrs value && !(value ? outPath) && isAttrs (left.${name} or null) then mergeDeep left.${name} value else plain value
    ) right;

  # The options of the surrounding system that the module and the image set.
  system = {
    options = {
      assertions = open [ ];
      systemd.services = open { };
      networking.hostName = open "";
      networking.firewall = open { };
      services.caddy = open { };
      services.openssh = open { };
      documentation.enable = open true;
      time.timeZone = open "";
      virtualisation.diskSize = open 0;
      system.stateVersion = open "";
      system.build = open { };
    };
  };

  lib = {
    inherit types optional last hasPrefix all;
    inherit (builtins) mapAttrs;
    mkOption = declaration: { _type = "option"; } // declaration;
    mkEnableOption = what: {
      _type = "option";
      type = types.bool;
      default = false;
      description = "Whether to enable ${what}.";
    };
    mkIf = condition: content: { _type = "if"; inherit condition content; };
    mkMerge = contents: { _type = "merge"; inherit contents; };
    mkDefault = content: { _type = "override"; priority = 1000; inherit content; };
    mkForce = content: { _type = "override"; priority = 50; inherit content; };
    optionals = condition: list: if condition then list else [ ];
    filterAttrs = keep: set: removeAttrs set (filter (name: !(keep name set.${name})) (attrNames set));
    mapAttrs' = change: set: listToAttrs (map (name: change name set.${name}) (attrNames set));
    mapAttrsToList = change: set: map (name: change name set.${name}) (attrNames set);
    toUpper = replaceStrings letters.lower letters.upper;
    splitString = mark: text: filter isString (split (replaceStrings [ "." "/" ] [ "\\." "/" ] mark) text);
    importJSON = path: fromJSON (readFile path);
    licenses.mit = "MIT";
    platforms.linux = [ "x86_64-linux" "aarch64-linux" ];
    nixosSystem =
      { system, modules }:
      let
        pkgs = import ./packages.nix { inherit lib; } system;
        evaluated = evaluate {
          inherit pkgs;
          modules = [ systemModule ] ++ modules;
        };
      in
      evaluated
      // {
        config = evaluated.config // {
          system = evaluated.config.system // {
            build = rec {
              toplevel = pkgs.callPackage ./image.nix { unit = evaluated.config.systemd.services.pol-node; };
              images.qemu = toplevel;
            };
          };
        };
      };
  };
  systemModule = system;
in
lib

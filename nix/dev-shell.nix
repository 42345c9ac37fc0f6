# Owns the shell for working on pol-node: Node, a C compiler for the native kernels, and what the checks call.
{
  mkShell,
  nodejs_22,
  clang,
  caddy,
}:
mkShell {
  packages = [
    nodejs_22
    clang
    caddy
  ];
}

// Owns the program's version as it names itself to peers and clients; package.json carries the same (held equal by a test).

export const VERSION = '0.1.0';

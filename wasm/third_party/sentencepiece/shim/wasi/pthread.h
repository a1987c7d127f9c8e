// Empty on purpose: the WASI compiler would otherwise find the header of the machine it runs on.

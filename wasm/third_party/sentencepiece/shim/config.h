// Stands in for the config.h that upstream's CMake generates.
#ifndef CONFIG_H_
#define CONFIG_H_

#define VERSION "0.2.1"
#define PACKAGE "sentencepiece"
#define PACKAGE_STRING "sentencepiece"
#define INSTALL_DATADIR ""

#endif

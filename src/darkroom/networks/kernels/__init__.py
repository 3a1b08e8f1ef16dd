"""Kernels of our own for what torch is slow at, in C++, built on the machine that they run on."""

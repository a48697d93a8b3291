"""The commands, one small module each: ``add`` describes the arguments, ``run`` does the work and returns a code."""

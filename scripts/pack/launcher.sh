#!/bin/sh
# Starts sparrow with the Node, the Vulkan loader and the software driver that lie beside this file. Writes nothing to its folder.
self=$0
while [ -L "$self" ]; do
  link=$(readlink "$self")
  case $link in
    /*) self=$link ;;
    *) self=$(dirname "$self")/$link ;;
  esac
done
lib=$(CDPATH='' cd -P "$(dirname "$self")" && pwd)/lib
SPARROW_DRIVERS=$lib/vulkan
SPARROW_COMMIT=$(cat "$lib/commit" 2>/dev/null)
export SPARROW_DRIVERS SPARROW_COMMIT
exec "$lib/node" "$lib/sparrow.js" "$@"

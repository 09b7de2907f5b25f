git index-pack --stdin --fix-thin <"$pack" &&

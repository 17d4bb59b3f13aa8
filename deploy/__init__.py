"""How t2m is run: the embedded stack (``deploy.local``), container images and Kubernetes manifests."""

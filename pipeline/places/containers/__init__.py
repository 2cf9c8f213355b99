"""Containers of a Dagger engine: tools in images, an image for a release, a service to prove it."""

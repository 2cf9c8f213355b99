"""A kubeconfig of a cluster that is not there."""

NOWHERE = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t0ken}}]
contexts: [{name: here, context: {cluster: c, user: u}}]
"""

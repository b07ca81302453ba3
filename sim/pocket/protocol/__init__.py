"""CARLA 0.9.16's wire: framing, value layouts, the RPC server and the streaming server."""

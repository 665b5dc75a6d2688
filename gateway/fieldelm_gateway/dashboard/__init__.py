"""The page for the browser: nodes at a glance, one node, the event log, commands, health; and metrics for Prometheus.

server.Dashboard(config, live, …)   a thread that serves it
app.make(…)                         what is served, on Starlette
data.Data(…)                        what the database knows, as the page wants it
"""

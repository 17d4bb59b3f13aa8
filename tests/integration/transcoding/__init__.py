"""The behaviour tables of google/api/http.proto, of grpc-gateway and of Envoy's transcoder, as rows that both serve."""

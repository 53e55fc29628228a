"""What every case needs: servers, programs with a time limit, interleaved rounds, ratios with their spread, reports."""
